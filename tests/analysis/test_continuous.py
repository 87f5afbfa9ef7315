"""Continuous metrics from results to the document and the figure."""

from __future__ import annotations

import json

import numpy as np
import pytest
from collect import collect
from drawing import style
from figure_continuous import continuous
from figure_continuous import pass_at_k as draw_at_k
from plot_valley import draw
from summary import summarise
from synthetic_sweep import DEEP, World
from tables import tables
from test_plot_valley import overlapping

from valley.statistics import pass_at_k

SIZES = tuple(DEEP)
SEEDS = (0, 1, 2)


def add(world, label, profile, kind, **outcome):
    """Put more into the outcome of a job that is there."""
    path = world.root / "store" / world.job(kind, f"{label}-{profile}") / "result.json"
    value = json.loads(path.read_text())
    value["outcome"] |= outcome
    path.write_text(json.dumps(value))


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A curve whose likelihood is straight in log size, and whose last size has other traces."""
    world = World(tmp_path_factory.mktemp("runs"), problems=200)
    rng = np.random.default_rng(0)
    difficulty = rng.normal(size=64)
    for size in (0, *SIZES):
        for seed in SEEDS if size else (0,):
            world.cell({"greedy": DEEP.get(size, 0.62)}, size=size, seed=seed)
            label = world.lines[-1]["cell"]
            outcome = json.loads(
                (
                    world.root / "store" / world.lines[-1]["jobs"]["grade"] / "result.json"
                ).read_text()
            )["outcome"]
            more = [min(1.0, passed + 0.5) for _, passed in outcome["counts"]]
            add(world, label, "greedy", "grade", tests_passed=more)
            mean = 2.0 - 0.1 * np.log2(size) if size else 2.5
            nll = 100 * (
                mean + 0.3 * difficulty + 0.02 * rng.normal(size=64) + 0.005 * rng.normal()
            )
            traces = {"traces": "other" if size == SIZES[-1] else "same"}
            likelihood = {**traces, "nll": [*nll.tolist(), None], "tokens": [100] * 64 + [None]}
            add(world, label, "greedy", "generate", held_out=likelihood)
    return world, summarise(collect(world.root))


def test_the_likelihood_has_an_interval_by_size_and_its_shape(found):
    metric = found[1]["continuous"]["nll_per_token"]
    assert metric["counted"] == 64 and metric["baseline"]["value"] == pytest.approx(2.5, abs=0.1)
    assert [point["size"] for point in metric["curve"]] == list(SIZES[:-1])  # on other traces
    shared = metric["baseline"]["value"] - 2.5  # of the traces, in all cells alike
    for point in metric["curve"]:
        assert point["value"] - shared == pytest.approx(2 - 0.1 * np.log2(point["size"]), abs=0.02)
        low, high = point["interval"]
        assert low < point["value"] < high < low + 0.25
    assert metric["shape"]["verdict"] == "NOT IDENTIFIED"
    assert metric["seed_sd"] == pytest.approx(0.005, abs=0.004)


def test_the_share_of_tests_is_a_rate_of_the_same_problems(found):
    metric = found[1]["continuous"]["tests_passed_before_first_failure"]
    scores = [point["value"] for point in found[1]["curve"]]
    shares = [point["value"] for point in metric["curve"]]
    assert shares == pytest.approx([0.5 + score / 2 for score in scores])
    assert metric["counted"] == 200 and metric["shape"]["curvature"].keys() <= {"score", "logit"}


def test_sentences_say_what_is_measured(found):
    lines = [line for line in found[1]["sentences"] if "extremes" in line]
    assert len(lines) == 2 and "before the first failure: baseline" in lines[0]
    assert "nats per token: baseline 2." in lines[1] and "NOT IDENTIFIED" in lines[1]


def test_the_figure_has_a_panel_per_metric_and_is_not_drawn_without(found, spaced):
    document = found[1]
    with style():
        figure = continuous(document)
        for axes, metric in zip(figure.axes, document["continuous"].values(), strict=True):
            (bars,) = axes.containers
            assert bars.lines[0].get_ydata().tolist() == [p["value"] for p in metric["curve"]]
        assert overlapping(continuous(document)) == []
        assert continuous(document | {"continuous": {}}) is None
    names = {path.stem for path in draw(document | {"continuous": None}, spaced)}
    assert "continuous" not in names and "valley" in names


def test_results_of_before_have_none(spaced):
    world = World(spaced)
    world.cell(0.6, size=0)
    world.cell(0.3, size=32)
    assert summarise(collect(spaced))["continuous"] == {}


def likelihoods(world, *held_out):
    """Give the newest cell's generation these nats of traces, None of one that is too long."""
    label = world.lines[-1]["cell"]
    tokens = [None if nll is None else 10 for nll in held_out]
    outcome = {"traces": "same", "nll": list(held_out), "tokens": tokens}
    add(world, label, "greedy", "generate", held_out=outcome)


def test_a_metric_with_too_few_traces_in_common_is_said_not_to_be_shown(spaced):
    world = World(spaced, problems=10)
    for size, held_out in (
        (0, (20.0, 21.0, 22.0)),
        (32, (None, 15.0, None)),
        (64, (9.0, 8.0, 7.0)),
    ):
        world.cell({"greedy": 0.4}, size=size)
        likelihoods(world, *held_out)
    document = summarise(collect(spaced))
    assert document["continuous"] == {}
    (said,) = document["continuous_not_shown"]
    assert said in document["sentences"] and "held-out traces" in said
    assert "fewer than two in common" in said


def test_a_metric_that_the_baseline_lacks_is_said_not_to_be_shown(spaced):
    world = World(spaced, problems=10)
    world.cell({"greedy": 0.4}, size=0)
    world.cell({"greedy": 0.4}, size=32)
    likelihoods(world, 9.0, 8.0)
    (said,) = summarise(collect(spaced))["continuous_not_shown"]
    assert "the baseline has none" in said


def test_arms_beside_the_curve_tell_its_seeds_noise_and_do_not_choose_its_traces(spaced):
    world = World(spaced, problems=10)
    rng = np.random.default_rng(2)
    traces = rng.normal(20, 3, 30)
    for size in (0, 32, 64):
        world.cell({"greedy": 0.4}, size=size)
        likelihoods(world, *(traces - size / 32 + 0.1 * rng.normal(size=30)).tolist())
    for seed in range(4):  # an arm of easy traces has seeds; one of hard ones lacks a trace
        world.cell({"greedy": 0.4}, size=64, difficulty="easy", seed=seed)
        likelihoods(world, *(traces + rng.normal() + 0.1 * rng.normal(size=30)).tolist())
        world.cell({"greedy": 0.4}, size=64, difficulty="hard", seed=seed)
        likelihoods(world, None, *traces[1:].tolist())
    metric = summarise(collect(spaced))["continuous"]["nll_per_token"]
    assert [point["size"] for point in metric["curve"]] == [32, 64]
    assert metric["counted"] == 30 and metric["left_out"] == {"of_counted": 0, "sizes": []}
    assert 0.02 < metric["seed_sd"] < 0.4


def test_pass_at_k_that_was_asked_for_has_intervals_a_table_and_a_figure(spaced):
    world = World(spaced, problems=60, samples=4)
    for size, score in ((0, 0.4), (32, 0.2), (64, 0.5)):
        for seed in (0, 1) if size else (0,):
            world.cell({"greedy": score}, size=size, seed=seed)
            grade = spaced / "store" / world.lines[-1]["jobs"]["grade"] / "result.json"
            outcome = json.loads(grade.read_text())["outcome"]
            n, c = np.array(outcome["counts"]).T
            at_3 = pass_at_k(n, c, 3).mean()
            metrics = outcome["metrics"] | {"pass@3": at_3}
            add(world, world.lines[-1]["cell"], "greedy", "grade", metrics=metrics)
    document = summarise(collect(spaced))
    found = document["pass_at_k"]["pass@3"]
    assert found["curve"][-1]["size"] == 64
    means = collect(spaced).table.groupby("size")["pass@3"].mean()
    for point in found["curve"]:
        low, high = point["interval"]
        assert low < point["value"] < high
        assert point["value"] == pytest.approx(means[point["size"]])
    assert found["baseline"]["value"] == pytest.approx(means[0])
    assert any(line.startswith("Pass@3: baseline") for line in document["sentences"])
    (table,) = (table for table in tables(document) if "pass@3" in table.head)
    assert len(table.rows) == 3 and all("to" in row[1] for row in table.rows)
    with style():
        figure = draw_at_k(document)
        (panel,) = figure.axes
        small_print = " ".join(text.get_text() for text in figure.texts)
        assert overlapping(figure) == []
    assert panel.get_ylabel() == "pass@3"
    assert "k = 3" in small_print and "k = 1" not in small_print


def test_shares_that_cannot_be_are_a_damaged_result(spaced):
    world = World(spaced, problems=3)
    world.cell({"greedy": 0.6}, size=0)
    add(world, world.lines[-1]["cell"], "greedy", "grade", tests_passed=[0.5, 2.0, 1.0])
    assert "tests_passed are not" in collect(spaced).damaged[0]
