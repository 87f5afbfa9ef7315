"""What the benchmark of graders says of two of them, and of a grader's processes."""

from __future__ import annotations

import multiprocessing
import sys
import textwrap
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import pytest
from benchmarks.agreement import REASONS, agreement, cohen_kappa
from benchmarks.corpus import OWN, Case, own_cases, small, special
from benchmarks.grade_by_lcb import lcb_sample, status
from benchmarks.rounds import Grader, run_round, valley_grader

TOTAL = small(OWN["total"], 2)
STRICT_AND_UPSTREAM = ("strict", "upstream")


def differ(kind, families, *statuses):
    """The one disagreement on a program of a kind, None where there is none."""
    case = Case("a program", kind, TOTAL, "")
    found = agreement(("a", "b"), families, [case], ([statuses[0]], [statuses[1]]))
    assert len(found.unexplained) <= len(found.disagreements) <= 1
    return found.disagreements[0] if found.disagreements else None


class TestAgreement:
    def test_two_ways_to_fail_agree(self):
        assert differ("crash", STRICT_AND_UPSTREAM, "runtime_error", "wrong_answer") is None

    @pytest.mark.parametrize(
        ("kind", "ours_passes", "explained"),
        [
            ("idiom", True, True),
            ("idiom", False, False),
            ("state", True, True),
            ("cheat", False, True),
            ("cheat", True, False),
            ("escape", True, False),
            ("missing import", False, True),
            ("return type", True, True),
            ("return type", False, True),
            ("time limit margin", True, True),
            ("correct", True, False),
            ("wrong", False, False),
            ("real", True, False),
        ],
    )
    def test_a_reason_holds_in_its_direction(self, kind, ours_passes, explained):
        statuses = ("passed", "wrong_answer") if ours_passes else ("wrong_answer", "passed")
        for families, said in (
            (("strict", "older"), statuses),
            (("upstream", "strict"), statuses[::-1]),
        ):
            found = differ(kind, families, *said)
            assert found.reason == (kind if explained else None)

    def test_our_lcb_may_differ_from_upstream_in_what_is_contained_only(self):
        for kind in ("idiom", "cheat", "missing import", "state", "return type"):
            assert differ(kind, ("lcb", "upstream"), "passed", "wrong_answer").reason is None
        escape = differ("escape", ("lcb", "upstream"), "runtime_error", "passed")
        assert escape.reason == "escape"

    def test_every_special_program_has_a_reason(self):
        assert {case.kind for case in special(OWN)} <= set(REASONS)

    def test_counts_and_kappa(self):
        cases = own_cases(1)[:4]
        said = (["passed", "passed", "time_limit", "passed"], ["passed"] * 3 + ["time_limit"])
        found = agreement(("a", "b"), STRICT_AND_UPSTREAM, cases, said)
        assert found.matrix == Counter(
            {
                ("passed", "passed"): 2,
                ("time_limit", "passed"): 1,
                ("passed", "time_limit"): 1,
            }
        )
        assert [d.case for d in found.unexplained] == [cases[2].name, cases[3].name]
        assert found.kappa == pytest.approx(-1 / 3)
        assert found.as_json()["disagreements"] == 2

    def test_kappa_where_all_pass(self):
        assert cohen_kappa([(True, True)] * 3) == 1.0


def run_alone(*arguments, **more):
    """`run_round` in a process of its own: it takes all children for the grader's."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as executor:
        return executor.submit(run_round, *arguments, **more).result()


class TestRounds:
    def test_our_grader_leaves_nothing_and_is_measured(self):
        programs = [(TOTAL, OWN["total"].program), (TOTAL, "1 / 0"), (TOTAL, "print(1)")]
        grader = valley_grader("ours", "strict")
        done = run_alone(grader, programs, 1, watch_memory=True)
        assert done.statuses == ["passed", "runtime_error", "wrong_answer"]
        assert done.left_running == 0
        assert 0 < done.seconds < 60
        assert done.cpu_s > 0.05
        assert max(done.memory_mib) > 10

    def test_what_a_grader_leaves_behind_is_counted_and_ended(self, spaced):
        script = spaced / "leaves.py"
        script.write_text(
            textwrap.dedent("""\
            import json, subprocess, sys
            sleep = "sleep 60 </dev/null >/dev/null 2>&1"
            subprocess.Popen(["/bin/sh", "-c", f"setsid {sleep} & {sleep}"], stderr=subprocess.DEVNULL)
            json.dump({"seconds": 1, "statuses": []}, open(sys.argv[2], "w"))
            """)
        )
        done = run_alone(Grader("leaves", "strict", (sys.executable, str(script))), [], 1)
        assert done.left_running == 3

    def test_a_grader_that_fails_is_an_error(self, spaced):
        script = spaced / "fails.py"
        script.write_text("raise SystemExit('no numpy here')")
        grader = Grader("fails", "older", (sys.executable, str(script)))
        with pytest.raises(RuntimeError, match="fails ended with 1: no numpy here"):
            run_alone(grader, [], 1)


def test_livecodebench_is_told_and_understood():
    sample = lcb_sample({"tests": [{"input": "1\n2", "output": "3"}], "function": "add"})
    assert sample == {
        "input_output": '{"inputs": ["1\\n2"], "outputs": ["3"], "fn_name": "add"}',
    }
    results = [[True, True], [True, False], [-2], [True, -3], [-4], [-1, -1], [-5]]
    assert [status(result) for result in results] == [
        "passed",
        "wrong_answer",
        "wrong_answer",
        "time_limit",
        "runtime_error",
        "runner_error",
        "runner_error",
    ]
