import json
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pandas as pd
import plot_valley
import pytest
from collect import collect
from drawing import style
from figure_axes import Wanted, axes_figure, points_of, profiles_drawn
from footing import footer
from matplotlib.backends.backend_agg import FigureCanvasAgg
from summary import summarise
from synthetic_sweep import World, default_sweep

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


def test_cells_that_differ_in_axes_that_are_not_shown_are_not_averaged(collected):
    with pytest.raises(UserError) as fault:
        points_of(collected, Wanted("size", "stage"), None)
    said, _, conditions = str(fault.value).partition("such as: ")
    assert "differ in difficulty (all, easy, hard) and in correctness (all, correct" in said
    assert "and in train.steps (null, 1280; matched-step twins); show an axis with --x" in said
    # What the message proposes is all that is needed.
    proposed = shlex.split(conditions)
    assert proposed[::2] == ["--where"] * 3
    chosen = collected.where(Where.parse(proposed[1::2]))
    assert points_of(chosen, Wanted("size", "stage"), None)["size"].max() == 4096


def test_lists_and_maps_are_axes_like_any_other(tmp_path):
    made = World(tmp_path, problems=20)
    made.cell(0.5, size=0)
    for betas in ([0.9, 0.95], [0.9, 0.999]):
        for deepspeed in (None, {"a": True}):
            made.cell(0.3, size=32, train__adam_betas=betas, train__deepspeed=deepspeed)
    collected = collect(tmp_path)
    with pytest.raises(UserError, match=r"train\.adam_betas") as fault:
        points_of(collected, Wanted("train.deepspeed", "size"), None)
    condition = shlex.split(str(fault.value))[-1]
    assert condition == "train.adam_betas=[0.9, 0.95]"
    chosen = collected.where(Where.parse([condition]))
    points = points_of(chosen, Wanted("train.deepspeed", "size"), None)
    assert list(points["train.deepspeed"]) == ["unset", "unset", '{"a": true}']
    with pytest.raises(UserError, match=r"values found: \[0\.9, 0\.95\], \[0\.9, 0\.999\]$"):
        collected.where(Where.parse(["train.adam_betas=[1,2]"]))
    with pytest.raises(UserError, match=r'deepspeed has 2 values \(null, \{"a": true\}\)'):
        summarise(chosen)
    one = summarise(chosen.where(Where.parse(['train.deepspeed={"a":true}'])))
    assert [point["size"] for point in one["curve"]] == [32]


def test_the_small_print_names_what_was_asked_and_the_caps_of_it(tmp_path):
    default_sweep(tmp_path, problems=20)
    settings = {"generate": {"profiles": {"greedy": {"max_tokens": 110}, "direct": {}}}}
    settings["generate"]["profiles"]["direct"]["max_tokens"] = 1300
    path = tmp_path / "sweeps" / "demo" / "sweep.yaml"
    path.write_text(json.dumps(settings), encoding="utf-8")
    chosen = collect(tmp_path).where(Where.parse(["size=512", "correctness=all"]))
    for wanted, cap, asked in (
        (
            Wanted("difficulty", "stage", "profile"),
            "at most 110 (greedy), 1,300 (direct) tokens",
            False,
        ),
        (Wanted("difficulty", "stage"), "at most 1,300 tokens", True),
    ):
        profiles = profiles_drawn(chosen, wanted, "direct")
        with style():
            figure = axes_figure(
                points_of(chosen, wanted, "direct"), wanted, footer(chosen, profiles)
            )
        said = " ".join(text.get_text() for text in figure.texts).replace("\n", " ")
        assert cap in said
        assert ("asked as direct" in said) is asked


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
        figure = axes_figure(points, wanted, footer(chosen, profiles_drawn(chosen, wanted, None)))
    assert [axes.get_title() for axes in figure.axes] == ["", ""]
    assert [axes.get_title("left") for axes in figure.axes] == ["profile greedy", "profile direct"]
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert ticks == ["all", "easy", "hard"]
    assert figure.axes[0].get_legend_handles_labels()[1] == ["stage 1", "stage 2"]


def test_more_series_than_can_be_told_apart_are_refused(collected):
    chosen = collected.where(Where.parse(["difficulty=all", "correctness=all", *NO_TWINS]))
    points = points_of(chosen, Wanted("stage", "size"), None)
    with style(), pytest.raises(UserError, match=r"--hue size: 10 values, and at most 6"):
        axes_figure(points, Wanted("stage", "size"), footer(chosen, ["greedy"]))


@pytest.mark.parametrize("x", ["size", "difficulty"])
def test_every_point_of_every_panel_is_on_the_page(collected, x):
    chosen = collected.where(Where.parse(["correctness=all", *NO_TWINS]))
    if x == "difficulty":
        chosen = chosen.where(Where.parse(["size=512"]))
    wanted = Wanted(x, "profile" if x == "difficulty" else "difficulty", "stage")
    points = points_of(chosen, wanted, None)
    with style():
        figure = axes_figure(points, wanted, footer(chosen, profiles_drawn(chosen, wanted, None)))
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
    document |= {"missing": [], "damaged": [], "profile": "greedy", "profiles": []}
    document["provenance"] = {"problems": None, "made_with": {}, "mixed": []}
    with style():
        figure = axes_figure(points, Wanted("train.learning_rate"), document)
    ticks = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert ticks == ["1e-05", "0.001"]


def test_published_points_are_of_the_valley_alone(tmp_path):
    script = Path(plot_valley.__file__)
    command = [
        sys.executable,
        str(script),
        "--root",
        str(tmp_path),
        "--x",
        "size",
        "--overlay",
        "paper",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "--overlay is for the valley: leave it out, or --x, --hue and --facet" in done.stderr
