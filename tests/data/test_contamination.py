from __future__ import annotations

import random

import pytest

from valley.data.contamination import contaminated, similarity
from valley.data.problems import Problem
from valley.data.selection_config import DecontaminationConfig

CONFIG = DecontaminationConfig()
WORDS = [f"word{number}" for number in range(3000)]


def problem(name: str, statement: str, **fields) -> Problem:
    return Problem(name, "taco/train", statement, [{"input": "", "output": ""}], **fields)


def statement(seed: int, length: int = 120) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=length))


TAUGHT = [problem(f"taco/{seed}", statement(seed)) for seed in range(40)]


def found(taught, asked, config=CONFIG):
    removed = contaminated(taught, asked, config)
    return {name: (one.evaluation_id, one.reason) for name, one in removed.items()}


def test_unrelated_problems_stay():
    assert found(TAUGHT, [problem("lcb/1", statement(100))]) == {}


def test_one_id_one_address_and_one_text_are_the_same_problem():
    asked = [
        problem("TACO/3", "Other words altogether."),
        problem("1873_A", "Short.", platform="codeforces"),
        problem("lcb/5", statement(5).upper().replace(" ", ",\n")),
        problem("lcb/6", "x", url="https://leetcode.com/problems/two-sum/description/"),
    ]
    taught = [
        *TAUGHT,
        problem("cf", "A cat.", url="https://codeforces.com/problemset/problem/1873/A"),
        problem("cf2", "A dog.", url="http://codeforces.com/contest/1873/problem/A?locale=en"),
        problem("other", "A bird.", url="https://codeforces.com/contest/1873/problem/B"),
        problem("lc", "A fish.", url="https://leetcode.com/problems/two-sum"),
    ]
    assert found(taught, asked) == {
        "taco/3": ("TACO/3", "same source id"),
        "cf": ("1873_A", "same address"),
        "cf2": ("1873_A", "same address"),
        "taco/5": ("lcb/5", "same text"),
        "lc": ("lcb/6", "same address"),
    }


def test_a_statement_in_other_words_is_found_by_what_it_shares():
    words = statement(7).split()
    for place in range(0, 120, 20):
        words[place] = "changed"
    near = problem("lcb/near", " ".join(["Once", "upon", "a", "time", *words]))
    removed = contaminated(TAUGHT, [near], CONFIG)
    assert list(removed) == ["taco/7"]
    one = removed["taco/7"]
    assert one.reason == "similar text" and one.similarity == 0.95 and one.shared_runs > 20


def test_a_shared_run_is_not_enough():
    words = statement(8).split()
    asked = problem("lcb/x", " ".join([*words[:30], *statement(900).split()]))
    assert found(TAUGHT, [asked]) == {}
    assert found(TAUGHT, [asked], DecontaminationConfig(similarity=0.2)) == {
        "taco/8": ("lcb/x", "similar text")
    }


def test_how_contests_speak_counts_for_nothing():
    """Sentences that many statements share do not even make them candidates."""
    phrase = statement(5000, 60)
    taught = [problem(f"taco/{seed}", f"{phrase} {statement(seed, 20)}") for seed in range(40)]
    asked = problem("lcb/y", f"{phrase} {statement(901, 20)}")
    assert found(taught, [asked]) == {}
    few = taught[:5]
    assert len(found(few, [asked])) == 5, "in few statements the same words are no phrase"


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_either_side_does_not_matter(seed):
    asked = [problem(f"lcb/{n}", statement(n) + " and more") for n in (1, 2, 30)]
    asked += [problem("lcb/again", statement(30) + " and more")]
    rng = random.Random(seed)
    shuffled = contaminated(rng.sample(TAUGHT, 40), rng.sample(asked, 4), CONFIG)
    assert shuffled == contaminated(TAUGHT, asked, CONFIG) and len(shuffled) == 3


def test_short_statements_are_compared_as_a_whole():
    taught = [problem("a", "Print the sum of two numbers."), problem("b", "Print the word.")]
    assert found(taught, [problem("c", "print the sum of two numbers")]) == {
        "a": ("c", "same text")
    }


def test_similarity_counts_runs_only():
    assert similarity(["a", "b", "c", "d"], ["x", "a", "b", "c", "d", "y"]) == 1.0
    assert similarity(["a", "x", "b", "y"], ["a", "b", "x", "y", "a"]) == 0.0
    assert similarity([], ["a"]) == 0.0
