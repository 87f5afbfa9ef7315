import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from collect import collect
from drawing import style
from figure_valley import _planned_sizes
from further_sentences import correlated
from marks import COLUMNS
from overlays import load
from plot_valley import FIGURES
from summary import summarise
from synthetic_sweep import World
from test_plot_valley import overlapping
from trainings import thinned

from valley.errors import UserError


def small(root, levels=True, **settings):
    """Two seeds, a missing size, twins, both levels of difficulty, logs of losses, an evaluation set."""
    made = World(root, problems=60, **settings)
    made.cell(0.6, size=0)
    for size, score in ((32, 0.1), (64, 0.2), (128, 0.9)):
        for seed in (0, 1):
            made.cell(score, size=size, seed=seed)
    made.cell(0.5, size=256, missing=True)
    made.cell(0.4, size=32, train__steps=40)
    for level, score in (("easy", 0.7), ("hard", 0.2)):
        made.cell(score, size=64, difficulty=level)
    made.cell(0.3, size=64, correctness="correct")
    made.cell(0.3, size=64, correctness="incorrect", missing=True)
    for line in made.lines:
        if line["jobs"]["train"]:
            lines = [
                json.dumps({"step": step, "loss": 3 / step}) for step in range(1, line["steps"] + 1)
            ]
            log = root / "store" / line["jobs"]["train"] / "log.jsonl"
            log.parent.mkdir(parents=True, exist_ok=True)
            log.write_text("\n".join([*lines, '{"step": 9']), encoding="utf-8")
    if levels:
        evaluation = "prepare/ab/evaluation-0123456789abcdef"
        (root / "store" / evaluation).mkdir(parents=True)
        text = "".join(
            json.dumps({"difficulty": name}) + "\n" for name in ["easy"] * 30 + ["hard"] * 30
        )
        (root / "store" / evaluation / "evaluation.jsonl").write_text(text, encoding="utf-8")
        for path in (root / "store" / "grade").rglob("result.json"):
            value = json.loads(path.read_text(encoding="utf-8"))
            value["inputs"] = {"evaluation": evaluation}
            path.write_text(json.dumps(value), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    root = tmp_path_factory.mktemp("small") / "my runs"
    small(root)
    return summarise(collect(root)) | {"overlays": [load("paper")]}


@pytest.fixture(scope="module")
def drawn(document):
    with style():
        return {name: draw(document) for name, draw in FIGURES.items()}


def rows(figure):
    return list(csv.DictReader(io.StringIO(figure.csv())))


# What is drawn of continuous metrics only where there are any is tested by itself.
@pytest.mark.parametrize(
    "name", [name for name in FIGURES if name not in ("continuous", "pass_at_k")]
)
def test_no_text_covers_another(drawn, name):
    assert overlapping(drawn[name]) == []


# What is drawn of continuous metrics only where there are any is tested by itself.
@pytest.mark.parametrize(
    "name", [name for name in FIGURES if name not in ("continuous", "pass_at_k")]
)
def test_every_figure_notes_what_it_draws_and_stands_on(drawn, document, name):
    found = rows(drawn[name])
    assert found and list(found[0]) == list(COLUMNS)
    said = " ".join(text.get_text() for text in drawn[name].texts)
    for part in (
        f"plan {document['footing']['plan'][:12]}",
        "code c0ffee",
        "evaluation set 0123abcd0123",
        "k = 1",
        f"{len(document['missing'])} of {document['planned']} scores missing",
    ):
        assert part in said.replace("\n", " ")


def test_the_valley_stands_over_three_aligned_panels(drawn, document):
    panels = drawn["valley"].axes
    assert [axes.get_ylabel().replace("\n", " ") for axes in panels] == [
        "pass@1",
        "thought closed",
        "pass@1 of completed",
        "median tokens",
    ]
    drawn["valley"].draw_without_rendering()
    assert (
        len({(round(a.get_position().x0, 6), round(a.get_position().x1, 6)) for a in panels}) == 1
    )
    assert len({axes.get_xlim() for axes in panels}) == 1
    found = rows(drawn["valley"])
    mean = {
        (row["series"], row["x"]): float(row["value"])
        for row in found
        if row["panel"] == "pass@1" and row["what"] == "mean, 95 % interval"
    }
    for point in document["curve"]:
        assert mean["greedy", str(point["size"])] == point["value"]
    assert sum(row["what"] == "one seed" for row in found) == 12  # two profiles, three sizes
    bands = [row for row in found if row["what"] == "truncated all wrong to all right"]
    assert [row["x"] for row in bands] == ["0", "32", "64", "128"]
    assert [row["x"] for row in found if row["what"] == "missing"] == ["256"] * 4


def test_published_points_are_marks_of_their_own_with_their_sizes_on_the_axis(drawn, document):
    labels = drawn["valley"].axes[0].get_legend_handles_labels()[1]
    assert "He et al. 2025: Qwen2.5-7B-Instruct" in labels
    published = [row for row in rows(drawn["valley"]) if row["what"] == "published"]
    assert [float(row["value"]) for row in published[:4]] == [0.126, 0.055, 0.188, 0.264]
    assert _planned_sizes(document)[-1] == 30000
    points = [p for s in load("paper")["series"] for p in s["points"]]
    assert all("second-hand" in p["confidence"] and p["source"] for p in points)


def test_an_overlay_of_ones_own_is_checked(tmp_path):
    path = tmp_path / "own points.json"
    value = load("paper")
    value["series"][0]["points"][0]["score"] = 12.6
    path.write_text(json.dumps(value), encoding="utf-8")
    with pytest.raises(
        UserError,
        match=r"own points\.json.*series\.0\.points\.0\.score: Input should be less than or equal to 1",
    ):
        load(str(path))
    with pytest.raises(UserError, match="overlays that ship: paper"):
        load("papers")


def test_missing_pairs_are_hollow(drawn):
    missing = [row for row in rows(drawn["contrasts"]) if row["what"] == "missing"]
    assert {row["x"] for row in missing} == {"correct - incorrect, stage 1, 64 traces"}


def test_the_truncation_rate_is_read_at_the_right_of_the_completion_rate(drawn):
    drawn[
        "behaviour"
    ].draw_without_rendering()  # what is read at the right follows when it is drawn
    (right,) = drawn["behaviour"].axes[0].child_axes
    assert right.get_ylabel() == "truncated"
    low, high = drawn["behaviour"].axes[0].get_ylim()
    assert sorted(right.get_ylim()) == pytest.approx([1 - high, 1 - low])


def test_cost_is_in_steps_tokens_and_named_hours(drawn, document):
    assert [axes.get_xlabel() for axes in drawn["cost"].axes] == [
        "optimizer steps",
        "tokens trained on",
        "core-hours",
    ]
    found = rows(drawn["cost"])
    tokens = {row["x"] for row in found if row["panel"] == "tokens trained on"}
    assert {str(90.0 * size) for size in (32, 64, 128)} <= tokens
    entry = next(e for e in document["behaviour"] if e["size"] == 32)
    assert entry["train"]["hours"] == pytest.approx(1.4 / 3600)


def test_difficulties_of_the_problems_part_the_score(drawn, document):
    levels = document["by_level"]["levels"]
    assert [(one["name"], one["problems"]) for one in levels] == [("easy", 30), ("hard", 30)]
    for position, point in enumerate(document["curve"]):
        parts = [one["curve"][position]["value"] for one in levels]
        assert np.mean(parts) == pytest.approx(point["value"])
    assert {row["series"] for row in rows(drawn["difficulty"]) if row["series"]} == {
        "easy (30 problems)",
        "hard (30 problems)",
    }


def test_losses_are_thinned_to_means_and_a_cut_line_is_left_out(drawn, document):
    steps, means = thinned({step: float(step) for step in range(1, 1281)})
    assert len(steps) == len(means) == 200 and steps[-1] == 1280
    assert means[0] == pytest.approx(np.mean(range(1, steps[0] + 1)))
    curves = {entry["cell"]: entry["curve"] for entry in document["losses"]}
    assert curves["tiny-1-32-all-all-0"][0] == [1, 3.0]
    assert len(curves["tiny-1-32-all-all-0"]) == 10
    assert {row["series"] for row in rows(drawn["losses"])} < curves.keys()


def test_stages_and_students_are_series_where_all_else_is_equal(tmp_path):
    made = World(tmp_path, problems=40)
    for student in ("tiny", "a-student-with-a-rather-long-name"):
        made.student = student
        for stage in (1, 2):
            made.cell(0.5, size=0, stage=stage)
            for size in (1000, 3000):
                made.cell(0.3, size=size, stage=stage)
    document = summarise(collect(tmp_path))
    assert document["students"] == ["tiny", "a-student-with-a-rather-long-name"]
    further = [(one["student"], one["stage"]) for one in document["further_curves"]]
    long = "a-student-with-a-rather-long-name"
    assert further == [("tiny", 2), (long, 1), (long, 2)]
    assert all(
        one["valley"]["sentence"] in document["sentences"] for one in document["further_curves"]
    )
    with style():
        figure = FIGURES["valley"](document)
    assert overlapping(figure) == []
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert sum("mean over seeds" in label for label in labels) == 5


DRAW_ALL = """
import json, sys
from pathlib import Path
sys.path[:0] = sys.argv[3:]
from plot_valley import draw
draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
"""


def test_equal_data_gives_equal_files_whatever_the_order_of_hashes(tmp_path, document):
    (tmp_path / "document.json").write_text(json.dumps(document), encoding="utf-8")
    repository = Path(__file__).parents[2]
    command = [sys.executable, "-c", DRAW_ALL, str(tmp_path / "document.json")]
    running = []
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        arguments = [str(tmp_path / seed), str(repository), str(repository / "analysis")]
        environment = os.environ | {"PYTHONHASHSEED": seed}
        running.append(subprocess.Popen([*command, *arguments], env=environment))
    assert [process.wait(timeout=400) for process in running] == [0, 0]
    first, second = (
        {path.name: path.read_bytes() for path in (tmp_path / seed).iterdir()} for seed in "12"
    )
    assert first.keys() == second.keys()
    assert [name for name in first if first[name] != second[name]] == []
    drawn = {name for name in FIGURES if name not in ("continuous", "pass_at_k")}
    assert set(first) == {f"{name}.{end}" for name in drawn for end in ("png", "pdf", "svg", "csv")}


def test_the_ends_of_a_correlation_are_told_apart():
    found = {"value": 0.9999, "interval": [0.9993, 0.9999]}
    assert correlated(found) == "1.000 (0.999 to 1.000)"
    assert correlated({"value": -0.5, "interval": [-0.8, 0.1]}) == "−0.50 (−0.80 to 0.10)"
