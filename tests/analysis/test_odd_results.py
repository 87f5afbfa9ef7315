"""What is said of results that no sweep should have, and some do: every number is one, no interval is none."""

from __future__ import annotations

import json
import warnings

import numpy as np
import pytest
from collect import collect
from drawing import style
from figure_valley import valley
from summary import summarise
from synthetic_sweep import World

from valley.errors import UserError

SIZES = (32, 64, 128, 256)


def world(root, scores, *, problems=60, samples=1, seeds=1, several_at=SIZES, completion=0.97):
    """A size curve of one profile, the baseline's score first; `None` is one that has no result."""
    made = World(root, problems=problems, samples=samples)
    for size, score in zip((0, *SIZES), scores, strict=False):
        for seed in range(seeds if size in several_at else 1):
            made.cell(
                {"greedy": score or 0.0},
                size=size,
                seed=seed,
                completion=completion,
                missing=score is None,
            )
    return made


def exactly(made, share):
    """Give every problem of every cell this share of passes."""
    for line in made.lines:
        path = made.root / "store" / line["jobs"]["grade"] / "result.json"
        value = json.loads(path.read_text())
        n = made.samples
        value["outcome"]["counts"] = [[n, round(n * share)]] * made.problems
        for name in ("completed", "opened", "think_closed"):
            value["outcome"][name] = [n] * made.problems
        path.write_text(json.dumps(value))


def pairs_of_one_problem(root):
    made = World(root, problems=1, samples=4)
    made.cell({"greedy": 0.5}, size=0)
    for difficulty in ("easy", "hard"):
        for correctness in ("correct", "incorrect"):
            for stage in (1, 2):
                made.cell(
                    {"greedy": 0.5},
                    size=64,
                    stage=stage,
                    difficulty=difficulty,
                    correctness=correctness,
                )


def all_alike(share, **design):
    def make(root):
        exactly(world(root, (0.5,) * 5, **design), share)

    return make


def identical_arms(root):
    """A curve and a pair of arms that all pass the same half of the problems."""
    made = world(root, (0.5,) * 5)
    for difficulty in ("easy", "hard"):
        made.cell({"greedy": 0.5}, size=64, difficulty=difficulty)
    exactly(made, 0.0)
    for line in made.lines:
        path = root / "store" / line["jobs"]["grade"] / "result.json"
        value = json.loads(path.read_text())
        value["outcome"]["counts"] = [[1, number % 2] for number in range(made.problems)]
        path.write_text(json.dumps(value))


ODD = {
    "one problem": lambda root: world(root, (0.5,) * 5, problems=1),
    "one problem, seeds": lambda root: world(root, (0.5,) * 5, problems=1, seeds=3, samples=4),
    "two problems": lambda root: world(root, (0.5,) * 5, problems=2, seeds=2),
    "nothing passed": all_alike(0.0),
    "all passed": all_alike(1.0, seeds=2),
    "each problem passed half": all_alike(0.5, samples=2),
    "seeds at one size": lambda root: world(
        root, (0.6, 0.3, 0.2, 0.4, 0.6), seeds=2, several_at=(64,)
    ),
    "no baseline": lambda root: world(root, (None, 0.3, 0.2, 0.4, 0.6)),
    "one size": lambda root: world(root, (0.6, 0.3)),
    "middle missing": lambda root: world(root, (0.6, 0.3, None, None, 0.6), seeds=2),
    "all truncated": lambda root: world(root, (0.6, 0.3, 0.1, 0.3, 0.5), completion=0.0),
    "pairs of one problem": pairs_of_one_problem,
    "identical arms at .5": identical_arms,
}


def estimates(value, name=""):
    """Every value with an interval in a document, with the name that it goes by."""
    if isinstance(value, dict):
        if "interval" in value and "value" in value:
            yield name, value
        for key, part in value.items():
            yield from estimates(part, key)
    elif isinstance(value, list):
        for part in value:
            yield from estimates(part, name)


@pytest.mark.parametrize("odd", ODD)
def test_every_interval_of_odd_results_has_a_width_and_holds_its_value(tmp_path, odd):
    ODD[odd](tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        document = summarise(collect(tmp_path))
    json.dumps(document, allow_nan=False)
    for name, found in estimates(document):
        if name == "recovery_size":
            continue
        low, high = found["interval"]
        assert low <= found["value"] <= high, name
        if name in ("score", "size"):  # rank correlations: ranks may be sure
            assert low >= -1 and high <= 1
            continue
        assert high - low > 0.001, name
        if name not in ("difference_of_differences", "difference_of_falls"):
            least = -1 if name in ("depth", "difference", "fall") else 0
            assert least <= low and high <= 1, name
        assert not any(np.isnan(found["interval"]))
    assert "nan" not in " ".join(document["sentences"])
    assert "--" not in " ".join(document["sentences"])


@pytest.mark.parametrize("odd", ["one problem, seeds", "no baseline"])
def test_the_valley_of_odd_results_is_drawn(tmp_path, odd):
    ODD[odd](tmp_path)
    with style():
        assert valley(summarise(collect(tmp_path))).axes


def test_a_rising_curve_is_not_said_to_fall(tmp_path):
    world(tmp_path, (0.2, 0.4, 0.5, 0.6, 0.7), problems=12)
    found = summarise(collect(tmp_path))["valley"]
    assert found["verdict"] == "INCONCLUSIVE"
    assert found["sentence"].endswith("excluded; no size scores below it.")


def test_a_verdict_names_the_sizes_of_its_tests_and_a_seed_alone_its_condition(tmp_path):
    world(tmp_path, (0.6, 0.5, 0.1, 0.1, 0.7), problems=300, seeds=2)
    document = summarise(collect(tmp_path))
    found = document["valley"]
    fall, rise = found["fall"], found["rise"]
    assert f"(fall at {fall['size']} p " in found["sentence"]
    assert f"rise from {rise['other']} to {rise['size']} p " in found["sentence"]
    (alone,) = [line for line in document["sentences"] if line.startswith("Each seed alone")]
    assert "seed noise unmeasured, not corrected over seeds" in alone


def test_what_is_excluded_of_a_falling_curve_is_a_valley_and_not_every_rise(tmp_path):
    world(tmp_path, (0.9, 0.7, 0.5, 0.3, 0.1), problems=900, samples=4, seeds=2)
    sentence = summarise(collect(tmp_path))["valley"]["sentence"]
    assert sentence.startswith("NO VALLEY (greedy, stage 1): the score falls, by ")
    assert "a size 5.0 points or more below the baseline with a larger size as far" in sentence


def test_two_cells_of_one_seed_are_refused_and_not_put_over_each_other(tmp_path):
    made = World(tmp_path)
    for prompt in ("plain", "terse"):
        made.cell({"greedy": 0.5}, size=0, prompt=prompt)
    made.cell({"greedy": 0.5}, size=32, prompt="plain")
    with pytest.raises(UserError, match="are of one seed"):
        summarise(collect(tmp_path))


def likelihoods(root, of_each):
    """A size curve with these negative log-likelihoods of held-out traces, one list for each cell."""
    made = World(root, problems=20)
    for size, nll in zip((0, *SIZES), of_each, strict=False):
        made.cell({"greedy": 0.5}, size=size)
        path = root / "store" / made.lines[-1]["jobs"]["generate"] / "result.json"
        value = json.loads(path.read_text())
        tokens = [None if one is None else 10 for one in nll]
        value["outcome"]["held_out"] = {"traces": "same", "nll": nll, "tokens": tokens}
        path.write_text(json.dumps(value))
    return summarise(collect(root))["continuous"].get("nll_per_token")


def test_likelihoods_are_paired_by_trace_where_cells_lack_different_ones(tmp_path):
    traces = [10.0, 20.0, 30.0, 40.0, 50.0]
    lacking = [traces, [None, *traces[1:]], [*traces[:4], None], traces]
    found = likelihoods(tmp_path / "some", lacking)
    assert found["counted"] == 3
    assert [point["value"] for point in found["curve"]] == pytest.approx([3.0] * 3)
    assert likelihoods(tmp_path / "one", [[10.0], [10.0]]) is None
    assert likelihoods(tmp_path / "none", [traces[:2], [float("nan"), 20.0]]) is None


def test_a_size_without_any_likelihood_is_left_out_and_named(tmp_path):
    traces = [10.0, 20.0, 30.0, 40.0]
    none = [float("nan")] * 4
    found = likelihoods(tmp_path, [traces, none, traces, [None, *traces[1:]]])
    assert found["counted"] == 3
    assert [point["size"] for point in found["curve"]] == list(SIZES[1:3])
    assert found["left_out"] == {"of_counted": 1, "sizes": [SIZES[0]]}
