from itertools import pairwise

import pandas as pd
import pytest
from collect import collect
from drawing import style
from figure_axes import Wanted, axes_figure, points_of
from footing import footer
from matplotlib.backends.backend_agg import FigureCanvasAgg
from synthetic_sweep import default_sweep

from valley.errors import UserError
from valley.where import Where

NO_TWINS = ["train.steps=null"]


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    root = tmp_path_factory.mktemp("my runs")
    default_sweep(root, missing_sizes=(1024,), problems=60)
    return collect(root)


def test_a_point_is_the_mean_of_its_seeds(collected):
    chosen = collected.where(Where.parse(["difficulty=all", "correctness=all", *NO_TWINS]))
    points = points_of(chosen, Wanted("size", "stage"), None)
    point = points[(points["size"] == 64) & (points["stage"] == 1)].iloc[0]
    table = chosen.table
    own = table[(table["size"] == 64) & (table["profile"] == "greedy")]
    assert point["seeds"] == len(own) == 3
    assert point["pass@1"] == pytest.approx(own["pass@1"].mean())
    assert point["pass@1_low"] < point["pass@1"] < point["pass@1_high"]
    missing = points[points["size"] == 1024].iloc[0]
    assert (missing["seeds"], missing["planned"]) == (0, 1) and missing.isna()["pass@1"]


def test_cells_that_differ_in_an_axis_that_is_not_shown_are_not_averaged(collected):
    with pytest.raises(UserError, match=r"differ in train\.steps \(matched-step twins\).*--hue"):
        points_of(collected, Wanted("size", "difficulty", "correctness"), None)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted("sise"), "no axis 'sise'; its axes: student, stage"),
        (Wanted("size", "size"), "each axis only once"),
    ],
)
def test_axes_that_cannot_be_are_refused(collected, wanted, said):
    with pytest.raises(UserError, match=said):
        points_of(collected, wanted, None)


def test_panels_series_and_labels_are_those_of_the_axes(collected):
    chosen = collected.where(Where.parse(["size=512", "correctness=all"]))
    wanted = Wanted("difficulty", "stage", "profile")
    points = points_of(chosen, wanted, None)
    with style():
        figure = axes_figure(points, wanted, footer(chosen, None))
    assert [axes.get_title() for axes in figure.axes] == ["", ""]
    assert [axes.get_title("left") for axes in figure.axes] == ["profile greedy", "profile direct"]
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert ticks == ["all", "easy", "hard"]
    assert figure.axes[0].get_legend_handles_labels()[1] == ["stage 1", "stage 2"]


def test_more_series_than_can_be_told_apart_are_refused(collected):
    chosen = collected.where(Where.parse(["difficulty=all", "correctness=all", *NO_TWINS]))
    points = points_of(chosen, Wanted("stage", "size"), None)
    with style(), pytest.raises(UserError, match=r"--hue size: 10 values, and at most 6"):
        axes_figure(points, Wanted("stage", "size"), footer(chosen, None))


@pytest.mark.parametrize("x", ["size", "difficulty"])
def test_every_point_of_every_panel_is_on_the_page(collected, x):
    chosen = collected.where(Where.parse(["correctness=all", *NO_TWINS]))
    if x == "difficulty":
        chosen = chosen.where(Where.parse(["size=512"]))
    wanted = Wanted(x, "profile" if x == "difficulty" else "difficulty", "stage")
    points = points_of(chosen, wanted, None)
    with style():
        figure = axes_figure(points, wanted, footer(chosen, None))
        figure.draw_without_rendering()
    drawn = 0
    for axes in figure.axes:
        low, high = axes.get_ylim()
        for bars in axes.containers:
            heights = bars[0].get_ydata()
            assert all(low <= height <= high for height in heights)
            drawn += len(heights)
    assert drawn == points["pass@1"].notna().sum() > 0
    # The panels share the page, and their ticks do not cover each other.
    assert sum(axes.get_position().width for axes in figure.axes) > 0.75
    renderer = FigureCanvasAgg(figure).get_renderer()
    for axes in figure.axes:
        boxes = [t.get_window_extent(renderer) for t in axes.get_xticklabels() if t.get_text()]
        boxes.sort(key=lambda box: box.x0)
        assert all(a.x1 < b.x0 for a, b in pairwise(boxes))


def test_numbers_below_one_are_spelled_on_a_log_axis():
    rows = [{"train.learning_rate": rate, "seeds": 1, "pass@1": 0.5} for rate in (1e-5, 1e-3)]
    points = pd.DataFrame(rows).assign(**{"pass@1_low": 0.4, "pass@1_high": 0.6})
    document = {"footing": {"plan": "", "code": [], "max_tokens": {}}, "sweep": "s", "planned": 2}
    document |= {"missing": [], "damaged": [], "profile": None}
    document["provenance"] = {"problems": None, "made_with": {}, "mixed": []}
    with style():
        figure = axes_figure(points, Wanted("train.learning_rate"), document)
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert ticks == ["1e-05", "0.001"]
