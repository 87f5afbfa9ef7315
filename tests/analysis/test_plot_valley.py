import json
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import matplotlib.image
import pandas as pd
import pytest
from collect import collect
from drawing import style
from matplotlib.axis import Tick
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from plot_valley import FIGURES
from summary import summarise
from synthetic_sweep import DEEP, SIZES, World, default_sweep

from valley.errors import UserError
from valley.where import Where

SCRIPT = Path(__file__).parents[2] / "analysis" / "plot_valley.py"


def run(*arguments):
    command = [sys.executable, "-X", "importtime", str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    root = tmp_path_factory.mktemp("full") / "my runs"
    default_sweep(root)
    return root


@pytest.fixture(scope="module")
def document(full):
    return summarise(collect(full))


def partial(root):
    return default_sweep(root, missing_sizes=(1024, 2048, 4096))


def only_baseline(root):
    made = World(root)
    made.cell(0.6, size=0)
    for size in SIZES:
        made.cell(0.5, size=size, missing=True)


def no_baseline(root):
    made = World(root)
    made.cell(0.6, size=0, missing=True)
    for size in (32, 64, 128):
        made.cell(0.3, size=size)


def flat(root):
    scores = dict.fromkeys(SIZES, 0.6)
    default_sweep(root, curve=scores, direct=scores, seed_sd=0.0)


def paper(root):
    made = World(root, samples=8)
    made.cell(0.126, size=0)
    for size, score in {1000: 0.055, 3000: 0.09, 10000: 0.188, 30000: 0.264}.items():
        made.cell({"greedy": score}, size=size)


def arms_missing(root):
    made = World(root)
    made.cell(0.6, size=0)
    for level in ("easy", "hard"):
        made.cell(0.3, size=32, difficulty=level, missing=True)


def one_size(root):
    made = World(root)
    made.cell(0.6, size=0)
    made.cell(0.1, size=32)


def nothing(root):
    made = World(root)
    made.cell(0.6, size=0, missing=True)


def many_twins(root):
    """Scores of zero in the trough, and twins with two numbers of steps."""
    curve = dict(zip(SIZES, (0.25, 0.08, 0.01, 0.0, 0.1, 0.14, 0.25, 0.56, 1.0), strict=True))
    answered = dict(zip(SIZES, (0.3, 0.3, 0.2, 0.17, 0.14, 0.11, 0.09, 0.01, 0.0), strict=True))
    made = default_sweep(root, curve=curve, baseline=0.32, direct=answered, name="many-twins")
    for size in (32, 64, 128, 256, 512):
        made.cell(0.4, size=size, train__steps=2560)


def many_students(root):
    """More curves, with longer names, than the margin has room for."""
    made = World(root)
    save, made.write_manifest = made.write_manifest, lambda: None  # once is enough
    for student in ("Qwen2.5-0.5B-Instruct", "Llama-3.2-3B-Instruct", "Qwen2.5-7B-Instruct"):
        made.student = student
        for stage in (1, 2):
            made.cell(0.3 + 0.1 * stage, size=0, stage=stage)
            for size in (1024, 4096, 10000, 30000):
                made.cell(0.1 + 0.2 * stage, size=size, stage=stage)
    save()


SITUATIONS = (
    default_sweep,
    partial,
    only_baseline,
    no_baseline,
    flat,
    paper,
    one_size,
    nothing,
    many_twins,
    many_students,
)


def test_the_command_writes_figures_numbers_and_table_and_ends_with_the_verdict(full, tmp_path):
    out = tmp_path / "my figures"
    done = run("--root", full, "--out", out)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    written = sorted(path.name for path in out.iterdir())
    # No result here has a continuous metric, and none was asked for a k above 1.
    drawn = [name for name in FIGURES if name not in ("continuous", "pass_at_k")]
    figures = [f"{name}.{kind}" for name in drawn for kind in ("png", "pdf", "svg", "csv")]
    assert written == sorted([*figures, "valley.json"])
    assert not (full / "sweeps" / "demo" / "results.csv").exists()
    assert [Path(line).name for line in lines[: len(figures) + 1]] == [*figures, "valley.json"]
    document = json.loads((out / "valley.json").read_text(encoding="utf-8"))
    assert document["schema"] == "valley.verdict_on_sweep/1"
    # The profile that the verdict is drawn from comes first, whatever the others are called.
    assert lines[-2] == document["valley"]["sentence"] and lines[-2].startswith("VALLEY (greedy")
    assert lines[-1] == document["profiles"]["direct"]["valley"]["sentence"]
    assert "torch" not in {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    pdf = (out / "valley.pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf
    assert matplotlib.image.imread(out / "valley.png").shape[1] > 1000


def test_the_table_is_written_whole_beside_the_figures_of_a_part(tmp_path):
    root = tmp_path / "my runs"
    made = World(root, problems=20)
    made.cell(0.5, size=0)
    made.cell(0.2, size=32)
    made.cell(0.2, size=64, missing=True)
    done = run("demo", "--root", root, "--where", "size>=64")
    assert done.returncode == 0, done.stderr
    assert len(pd.read_csv(made.folder / "results.csv")) == len(made.lines) == 6
    figures = made.folder / "figures"
    assert "results.csv" not in {path.name for path in figures.iterdir()}
    assert json.loads((figures / "valley.json").read_text(encoding="utf-8"))["planned"] == 2
    assert f"next: python sweeps/status.py demo --root '{root}'" in done.stdout.splitlines()


def test_the_document_holds_the_truth_of_the_sweep(document):
    assert document["valley"]["significant"] is True
    assert document["valley"]["recovered_above_baseline"] is True
    assert document["trough"]["size"] == 128
    truths = {
        "baseline": 0.62,
        "trough": DEEP[128],
        "depth": 0.62 - DEEP[128],
    }
    for name, truth in truths.items():
        low, high = document[name]["interval"]
        assert low <= document[name]["value"] <= high
        assert document[name]["value"] == pytest.approx(truth, abs=0.05)
    recovery = document["recovery_size"]
    assert 2048 < recovery["interval"][0] < recovery["value"] < recovery["interval"][1] < 4096
    assert [point["size"] for point in document["curve"]] == list(SIZES)
    assert [len(point["seeds"]) for point in document["curve"]] == [3] * 6 + [1] * 3
    assert document["missing"] == [] and document["planned"] == 74


def test_each_seed_has_its_own_verdict_on_the_sizes_it_has(document):
    assert [entry["seed"] for entry in document["seeds"]] == [0, 1, 2]
    assert [len(entry["sizes"]) for entry in document["seeds"]] == [9, 6, 6]
    assert all(entry["valley"]["verdict"] == "VALLEY" for entry in document["seeds"])
    assert document["seeds"][0]["valley"]["recovered_above_baseline"]
    assert not document["seeds"][1]["valley"]["recovered_above_baseline"]


def test_twins_say_how_much_of_the_fall_is_too_few_steps(document):
    twins = [twin for twin in document["twins"] if twin["profile"] == "greedy"]
    assert [(t["size"], t["steps"], t["usual_steps"]) for t in twins] == [
        (128, 1280, 40),
        (256, 1280, 80),
    ]
    first, second = twins
    # True scores: baseline .62; 128 traces .06 and .30 with more steps; 256 traces .14 and .58.
    assert first["fraction_of_fall"] == pytest.approx(0.24 / 0.56, abs=0.08)
    assert second["fraction_of_fall"] == pytest.approx(0.44 / 0.48, abs=0.08)
    low, high = first["difference_to_usual"]["interval"]
    assert low < 0.24 < high
    assert "below the baseline remain" in first["sentence"]
    assert "1,280 steps instead of 40" in first["sentence"]
    assert all(point["size"] in SIZES for point in document["curve"])  # and no twin among them


def test_each_number_of_steps_of_the_twins_is_a_series_of_its_own(tmp_path):
    many_twins(tmp_path)
    document = summarise(collect(tmp_path))
    with style():
        axes = FIGURES["valley"](document).axes[0]
    twins = {
        bars.get_label(): list(bars.lines[0].get_xdata())
        for bars in axes.containers
        if "twins" in str(bars.get_label())
    }
    few, many = (twins[f"greedy, same traces, {n} steps (twins)"] for n in ("1,280", "2,560"))
    assert (len(few), len(many)) == (2, 5)
    assert not set(few) & set(many)  # at one size they stand beside each other


def test_a_curve_that_only_falls_names_no_rise(tmp_path):
    made = World(tmp_path, problems=40)
    for size, score in ((0, 0.9), (32, 0.5), (64, 0.4)):
        made.cell(score, size=size)
    sentence = summarise(collect(tmp_path))["valley"]["sentence"]
    assert sentence.startswith("INCONCLUSIVE")
    assert sentence.endswith("but no larger size is shown above a size that fell.")


def test_the_other_profile_says_how_much_of_the_fall_is_a_changed_format(document):
    direct = document["profiles"]["direct"]
    assert direct["profile"] == "direct" and direct["trough"]["size"] == 128
    (comparison,) = document["profile_comparisons"]
    # True falls: .62 − .06 as greedy, .60 − .18 as direct.
    low, high = comparison["difference_of_falls"]["interval"]
    assert low < 0.14 < high and low > 0
    assert "a matter of how the student is asked" in comparison["sentence"]


def test_contrasts_are_paired_by_stage_with_both_scores(document):
    found = {
        (c["pair"][0], c["stage"]): c for c in document["contrasts"] if c["profile"] == "greedy"
    }
    truths = {("easy", 1): 0.18, ("easy", 2): -0.2, ("correct", 1): 0.08, ("correct", 2): 0.43}
    assert found.keys() == truths.keys()
    for key, truth in truths.items():
        low, high = found[key]["difference"]["interval"]
        assert low < truth < high
        first, second = (found[key]["scores"][name] for name in found[key]["pair"])
        assert first - second == pytest.approx(found[key]["difference"]["value"])
    assert "easy traces score higher" in found["easy", 1]["sentence"]
    assert "hard traces score higher" in found["easy", 2]["sentence"]


def test_pairs_are_held_to_the_delta_of_the_grid(tmp_path):
    root = tmp_path / "my runs"
    made = World(root, samples=16, problems=400, seed_sd=0.0)
    made.cell(0.2, size=0)
    for correctness in ("correct", "incorrect"):
        made.cell(0.4, size=512, correctness=correctness)

    def said():
        (found,) = [c for c in summarise(collect(root))["contrasts"] if c["profile"] == "greedy"]
        return found

    assert said()["delta"] == pytest.approx(0.05, abs=0.02)  # a quarter of the gain
    for delta, verdict in ((0.06, "EQUIVALENT"), (0.001, "INCONCLUSIVE")):
        text = f"analysis: {{equivalence_delta: {delta}}}"
        (made.folder / "sweep.yaml").write_text(text, encoding="utf-8")
        assert (said()["delta"], said()["verdict"]) == (delta, verdict)
        assert verdict in said()["sentence"]


def test_stages_crossed_with_traces_interact(document):
    found = {c["of"]: c for c in document["interactions"] if c["profile"] == "greedy"}
    low, high = found["difficulty"]["difference_of_differences"]["interval"]
    assert low < 0.38 < high and low > 0
    assert found["correctness"]["difference_of_differences"]["value"] < -0.2


def test_what_stands_beside_the_verdict_is_in_words(document):
    assert document["truncation"]["survival"] == "SURVIVES"
    low, high = document["truncation"]["band"]["128"]
    assert low < 0.1 and high - low > 0.25  # a third of the answers there are cut off
    assert document["shape"]["verdict"] == "NOT IDENTIFIED"
    for part in (document["truncation"], document["shape"]):
        assert part["sentence"] in document["sentences"]
    assert document["valley"]["next"] in document["sentences"]
    assert {c["rate"] for c in document["correlations"]} == {"completion_rate", "think_closed_rate"}


def test_an_inconclusive_verdict_says_what_would_decide(tmp_path):
    root = tmp_path / "my runs"
    flat(root)
    found = summarise(collect(root))
    assert found["valley"]["verdict"] == "INCONCLUSIVE"
    assert "would be decided in 4 of 5 repetitions by 300 problems x " in found["valley"]["next"]


def test_another_profile_can_bear_the_verdict(full):
    document = summarise(collect(full), "direct")
    assert document["profile"] == "direct" and list(document["profiles"]) == ["greedy"]
    assert document["sentences"][-2].startswith("VALLEY (direct")
    with pytest.raises(UserError, match="profiles: greedy, direct"):
        summarise(collect(full), "sampled")


@pytest.mark.parametrize(
    ("situation", "start"),
    [
        (only_baseline, "INCONCLUSIVE (greedy, stage 1): no trained size"),
        (no_baseline, "INCONCLUSIVE (greedy, stage 1): the baseline has no score"),
        (nothing, "INCONCLUSIVE (greedy, stage 1): the baseline has no score"),
        (
            one_size,
            "INCONCLUSIVE among these checkpoints; seed noise unmeasured (greedy, stage 1): one",
        ),
        (
            paper,
            "VALLEY among these checkpoints; seed noise unmeasured (greedy, stage 1): the score",
        ),
        (partial, "VALLEY (greedy, stage 1): the score falls"),
    ],
)
def test_the_verdict_is_computed_from_what_is_there(tmp_path, situation, start):
    situation(tmp_path)
    document = summarise(collect(tmp_path))
    assert document["valley"]["sentence"].startswith(start)
    assert document["valley"]["sentence"] in document["sentences"]


def test_a_flat_curve_is_never_called_a_valley(tmp_path):
    flat(tmp_path)
    document = summarise(collect(tmp_path))
    assert document["valley"]["verdict"] in ("INCONCLUSIVE", "NO VALLEY")
    assert not document["valley"]["significant"]


def test_missing_cells_are_named_and_hollow(tmp_path):
    made = partial(tmp_path)
    document = summarise(collect(tmp_path))
    assert document["missing_sizes"] == [1024, 2048, 4096]
    assert {row["cell"] for row in document["missing"]} == {
        line["cell"] for line in made.lines if line["axes"]["size"] > 512
    }
    with style():
        figure = FIGURES["valley"](document)
        axes = figure.axes[0]
        (hollow,) = [line for line in axes.lines if "missing" in str(line.get_label())]
        assert list(hollow.get_xdata()) == [1024, 2048, 4096]
        assert hollow.get_markerfacecolor() == "white"
        assert axes.get_xscale() == "log"
        names = [tick.get_text() for tick in figure.axes[-1].get_xticklabels()]
        assert names == ["0", *(str(size) for size in SIZES)]


def test_one_seed_names_the_noise_that_would_overturn_it(tmp_path):
    paper(tmp_path)
    document = summarise(collect(tmp_path))
    assert document["seed_noise"] is None
    assert 0 < document["valley"]["overturning_seed_sd"] < 0.2
    assert "a seed SD of" in document["valley"]["sentence"]


def test_scores_on_different_problem_sets_are_not_compared(tmp_path):
    made = World(tmp_path, problems=20)
    made.cell(0.5, size=0)
    made.digest = "ffff0000" * 8
    made.cell(0.2, size=32)
    with pytest.raises(UserError, match=r"different problem sets.*0123abcd0123.*ffff0000ffff"):
        summarise(collect(tmp_path))


def test_a_further_axis_with_several_values_has_to_be_chosen(tmp_path):
    made = World(tmp_path, problems=20)
    made.cell(0.5, size=0)
    for rate in (1e-4, 5e-4):
        made.cell(0.2, size=32, train__learning_rate=rate)
    with pytest.raises(UserError, match=r"train\.learning_rate has 2 values.*--where"):
        summarise(collect(tmp_path))
    chosen = summarise(collect(tmp_path).where(Where.parse(["train.learning_rate=5e-4"])))
    assert chosen["baseline"] is not None and len(chosen["curve"]) == 1


def test_a_sweep_with_steps_in_every_cell_has_a_curve_and_no_twins(tmp_path):
    made = World(tmp_path, problems=20)
    made.cell(0.5, size=0)
    for size in (32, 64):
        made.cell(0.2, size=size, train__steps=640)
    document = summarise(collect(tmp_path))
    assert [point["size"] for point in document["curve"]] == [32, 64]
    assert document["twins"] == []


def test_points_that_were_not_made_alike_are_flagged(tmp_path):
    made = World(tmp_path, problems=20)
    made.cell(0.5, size=0)
    made.cell(0.2, size=32)
    jobs = made.lines[-1]["jobs"]
    value = json.loads(
        (tmp_path / "store" / jobs["grade"] / "result.json").read_text(encoding="utf-8")
    )
    made.result(jobs["grade"], value["outcome"], snapshot="deadbeef")
    document = summarise(collect(tmp_path))
    assert document["provenance"]["mixed"] == ["grade: 2 different snapshot (c0ffee, deadbeef)"]
    assert any("2 different snapshot" in sentence for sentence in document["sentences"])
    with style():
        figure = FIGURES["valley"](document)
    texts = [text.get_text() for text in figure.findobj(Text)]
    assert any("MIXED grade" in text for text in texts)
    said = "made otherwise than most: direct at 32"
    assert any(said in text.replace("\n", " ") for text in texts)
    axes = figure.axes[0]
    (crosses,) = [line for line in axes.lines if line.get_marker() == "x"]
    profile = list(document["profiles"]).index("direct") + 1
    assert crosses.get_xdata().tolist() == [32 * (1 + 0.06 * profile)]
    (point,) = document["profiles"]["direct"]["curve"]
    assert crosses.get_ydata().tolist() == [point["value"]]
    noted = [mark for mark in figure.drawn if "deadbeef" in mark[2]]
    assert [mark[1:5] for mark in noted] == [
        ("direct", "made otherwise than most: grade: snapshot deadbeef", 32, point["value"])
    ]
    assert overlapping(figure) == []


def test_points_that_were_made_alike_are_not_crossed(document):
    with style():
        axes = FIGURES["valley"](document).axes[0]
    assert not [line for line in axes.lines if line.get_marker() == "x"]


def overlapping(figure):
    """Pairs of texts that cover each other, and texts that leave the figure."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    # Locators make ticks beyond the limits too, whose labels are never drawn.
    unseen = set()
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.findobj(Tick):
                if not low <= tick.get_loc() <= high:
                    unseen |= {tick.label1, tick.label2}
    boxes = [
        (text.get_text(), text.get_window_extent(canvas.get_renderer()))
        for text in figure.findobj(Text)
        if text.get_visible() and text.get_text().strip() and text not in unseen
    ]
    faults = [
        (first, second)
        for (first, a), (second, b) in combinations(boxes, 2)
        if min(a.x1, b.x1) - max(a.x0, b.x0) > 1 and min(a.y1, b.y1) - max(a.y0, b.y0) > 1
    ]
    width, height = canvas.get_width_height()
    outside = [
        text for text, b in boxes if b.x0 < -1 or b.y0 < -1 or b.x1 > width + 1 or b.y1 > height + 1
    ]
    return faults + outside


@pytest.mark.parametrize("situation", SITUATIONS)
def test_no_text_of_any_figure_covers_another_or_leaves_the_page(tmp_path, situation):
    situation(tmp_path)
    document = summarise(collect(tmp_path))
    # The others depend on fewer of a sweep's traits.
    names = FIGURES if situation in (default_sweep, nothing) else ("valley", "contrasts")
    with style():
        for name in names:
            assert (drawn := FIGURES[name](document)) is None or overlapping(drawn) == []


def test_overlaps_would_be_seen(document):
    with style():
        figure = FIGURES["valley"](document)
        figure.text(0.02, 0.02, "over the small print")
        assert overlapping(figure)


def test_figures_name_their_series_and_baselines(document):
    with style():
        names = ("valley", "contrasts", "behaviour")
        valley, contrasts, behaviour = (FIGURES[name](document) for name in names)
        labels = valley.axes[0].get_legend_handles_labels()[1]
        for start in (
            "greedy: mean",
            "direct: mean",
            "greedy, same traces, 1,280 steps",
            "lowest at 128",
        ):
            assert any(label.startswith(start) for label in labels)
        texts = [text.get_text() for text in valley.findobj(Text)]
        assert "VALLEY" in texts
        assert sum(text.startswith("baseline 0.") for text in texts) == 2
        assert len(contrasts.axes[0].get_yticks()) == 4
        different = sum(entry["verdict"] == "DIFFERENT" for entry in document["contrasts"])
        said = [text.get_text() for text in contrasts.findobj(Text)]
        assert any(text.startswith(f"{different} DIFFERENT") for text in said)
        assert len(behaviour.axes) == 4
        assert all(axes.get_xlim() == behaviour.axes[0].get_xlim() for axes in behaviour.axes)


def test_a_baseline_that_profiles_share_is_drawn_once_and_in_the_colour_of_none(document):
    def across_and_curves(document):
        with style():
            axes = FIGURES["valley"](document).axes[0]
        across = [line for line in axes.lines if list(line.get_xdata()) == [0, 1]]
        return across, [bars[0] for bars in axes.containers]

    across, _ = across_and_curves(document)
    assert len(across) == 2
    shared = json.loads(json.dumps(document))
    shared["profiles"]["direct"]["baseline"] = shared["baseline"]
    (line,), curves = across_and_curves(shared)
    assert line.get_color() not in {curve.get_color() for curve in curves}


def test_a_grid_without_arms_waits_for_no_pair(tmp_path):
    def subtitle(sweep):
        sweep(tmp_path / sweep.__name__)
        with style():
            figure = FIGURES["contrasts"](summarise(collect(tmp_path / sweep.__name__)))
        return [text.get_text() for text in figure.findobj(Text)]

    assert "no pair has both its scores yet" in subtitle(arms_missing)
    said = subtitle(paper)
    assert "no pair has both its scores yet" not in said
    assert any(text.startswith("this grid has no easy and hard") for text in said)


def test_a_curve_that_ends_lowest_does_not_rise_again(tmp_path):
    made = World(tmp_path / "runs")
    for size, score in {0: 0.6, 32: 0.1, 64: 0.5, 128: 0.0}.items():
        made.cell(score, size=size)
    valley = summarise(collect(tmp_path / "runs"))["valley"]
    assert valley["verdict"] == "VALLEY"
    assert "and rises before, from 32 to 64 traces" in valley["sentence"]
