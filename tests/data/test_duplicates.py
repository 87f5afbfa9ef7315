from __future__ import annotations

import random

import pytest

from valley.data.duplicates import Duplicates, resemblance, sketch
from valley.data.selection_config import CleanConfig
from valley.data.traces import Trace

WORDS = [f"word{number}" for number in range(2000)]


def text(seed: int, changes: int = 0) -> str:
    words = random.Random(seed).choices(WORDS, k=2000)
    for place in random.Random(changes).sample(range(2000), changes):
        words[place] = "other"
    return " ".join(words)


def too_many(traces, **config):
    duplicates = Duplicates(CleanConfig(**config))
    for trace in traces:
        duplicates.see(trace)
    return duplicates.found()


@pytest.mark.parametrize("changes", [0, 20, 100, 400])
def test_a_sketch_estimates_the_runs_that_two_texts_share(changes):
    one, other = text(1), text(1, changes)
    runs = [{t[i : i + 16] for i in range(len(t) - 15)} for t in (one, other)]
    exact = len(runs[0] & runs[1]) / len(runs[0] | runs[1])
    assert abs(resemblance(sketch(one.encode()), sketch(other.encode())) - exact) < 0.16
    assert resemblance(sketch(one.encode()), sketch(text(2).encode())) < 0.1


def test_short_texts_have_a_sketch_too():
    assert resemblance(sketch(b""), sketch(b"")) == 1.0
    assert resemblance(sketch(b"abc"), sketch(b"abd")) == 0.0


def test_near_duplicates_are_of_one_problem_and_go_by_groups():
    traces = [
        Trace("a", "p", text(1), "x"),
        Trace("b", "p", text(1, 20), "x"),
        Trace("c", "p", text(1), "x"),
        Trace("d", "q", text(1, 21), "x"),
        Trace("e", "p", text(3), "x"),
    ]
    exact = too_many(traces, duplicates="exact")
    assert set(exact) | set(exact.values()) == {"a", "c"} and len(exact) == 1
    near = too_many(traces, duplicates="near")
    assert set(near) | set(near.values()) == {"a", "b", "c"} and len(near) == 2
    for seed in range(4):
        shuffled = random.Random(seed).sample(traces, len(traces))
        assert too_many(shuffled, duplicates="near") == near
        assert too_many(shuffled, duplicates="exact") == exact


def test_thought_and_answer_are_apart():
    assert (
        too_many([Trace("a", "p", "xy", "z"), Trace("b", "p", "x", "yz")], duplicates="exact") == {}
    )


def test_every_pair_of_a_problem_is_looked_at():
    """The quick look at shared hashes leaves out no pair that is alike."""
    texts = [text(seed, changes) for seed in (1, 2) for changes in (0, 10, 40, 100, 300)]
    traces = [Trace(f"t{number}", "p", one, "") for number, one in enumerate(texts)]
    sketches = [sketch(f"{one}\0".encode()) for one in texts]
    for least in (0.5, 0.8):
        alike = {
            frozenset((a, b))
            for a in range(10)
            for b in range(a)
            if resemblance(sketches[a], sketches[b]) >= least
        }
        groups = {frozenset((number,)) for number in range(10)}
        for pair in alike:
            joined = [group for group in groups if group & pair]
            groups = (groups - set(joined)) | {frozenset().union(*joined)}
        found = too_many(traces, duplicates="near", near_similarity=least)
        assert len(found) == 10 - len(groups) and alike
