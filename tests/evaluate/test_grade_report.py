from __future__ import annotations

from dataclasses import replace

from valley.data.problems import Problem
from valley.evaluate.report import report
from valley.evaluate.samples import Sample, Verdict
from valley.evaluate.score import score

PROBLEMS = [Problem(name, "t", "", [{"input": "", "output": ""}]) for name in "ab"]
SAMPLES = [Sample(name, 0, 0, "", "stop", 1, 1) for name in "ab"]
VERDICTS = [
    Verdict("a", 0, "passed", None, 1, 1, 0.0, 0.0),
    Verdict("b", 0, "no_code", None, 0, 1, 0.0, 0.0),
]


def shown(problems):
    scores = score(problems, SAMPLES, VERDICTS)
    return report(VERDICTS, scores, "strict", "bwrap", 1.25).splitlines()


def test_the_table():
    lines = shown([PROBLEMS[0], replace(PROBLEMS[1], flags=["mine", "lcb_errata"])])
    assert lines[0] == "graded 2 samples of 2 problems in 1.2 s (mode strict, isolation bwrap)"
    assert [line.split() for line in lines[3:]] == [
        ["passed", "1"],
        ["no_code", "1"],
        [],
        ["problems", "pass@1"],
        ["all", "problems", "2", "0.5000"],
        ["without", "flagged", "ones", "1", "1.0000"],
        ["flagged:", "lcb_errata", "1,", "mine", "1"],
    ]


def test_all_problems_are_flagged():
    lines = shown([replace(problem, flags=["mine"]) for problem in PROBLEMS])
    assert lines[-2].split() == ["without", "flagged", "ones", "0", "–"]


def test_without_a_score_there_are_statuses():
    assert report(VERDICTS, None, "lcb", "bwrap", 1.0).splitlines()[-1].split() == ["no_code", "1"]
