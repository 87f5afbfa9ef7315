import os
import subprocess
import time
from dataclasses import replace

import pytest

from valley.data.problems import Problem
from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.evaluate.grade import check_programs, grade
from valley.evaluate.isolation import Isolation
from valley.evaluate.samples import Sample, Verdict
from valley.evaluate.sandbox import Sandbox

CONFIG = GradeConfig(output_limit_kib=256, wall_limit_factor=1)
TESTS = [{"input": f"{x}\n", "output": f"{(3 * x + 4) % 10}\n"} for x in (0, 5, 9)]
STDIN = Problem("affine", "test", "", TESTS, time_limit_s=0.5, memory_limit_mib=256)
FUNCTION = Problem(
    "pairs",
    "test",
    "",
    [
        {"input": "[1, 2]\n2", "output": "[[1, 3], true]"},
        {"input": "[]\n\n0.1", "output": "[[], false]"},
    ],
    kind="function",
    function="pairs",
    compare={"rule": "float", "tolerance": 1e-6},
)
PAIRS = "def pairs(xs, k):\n    s = [0.0]\n    for x in xs: s.append(s[-1] + x)\n    return (s[1:], k > 1)"

# name -> (program, status, first failing test)
STDIN_PROGRAMS = {
    "right": ("x = int(input())\nprint((3 * x + 4) % 10)", "passed", None),
    "right with zeros": ("x = int(input())\nprint((3 * x + 4) % 10, end='.0 ')", "passed", None),
    "wrong": ("print(9)", "wrong_answer", 0),
    "wrong at the end": ("x = int(input())\nprint([4, 9, 2][x // 4])", "wrong_answer", 2),
    "silent": ("", "wrong_answer", 0),
    "crash": ("print(1 / (int(input()) - 5) and 4)", "runtime_error", 1),
    "exit": ("import sys\nprint(4)\nsys.exit(3)", "runtime_error", 0),
    "os exit": ("import os\nos._exit(1)", "runtime_error", 0),
    "right, then a crash": ("print(4)\n1 / 0", "runtime_error", 0),
    "recursion": ("def f(n): return f(n)\nf(0)", "runtime_error", 0),
    "closed stdout": ("import sys\nsys.stdout.close()\nprint(4)", "runtime_error", 0),
    "forged syntax error": ("import os\nos.write(3, b'S')\nprint(4)", "wrong_answer", 1),
    "syntax": ("print((", "syntax_error", 0),
    "return": ("return 4", "syntax_error", 0),
    "nesting": ("-" * 100_000 + "1", "syntax_error", 0),
    "surrogate": ("print('\ud800')", "syntax_error", 0),
    "loop": ("while True: pass", "time_limit", 0),
    "loop at the second": ("x = int(input())\nwhile x == 5: pass\nprint(4)", "time_limit", 1),
    "sleep": ("import time\nprint(4, flush=True)\ntime.sleep(100)", "time_limit", 0),
    "memory": ("x = [0] * (10 * 2**30)", "memory_limit", 0),
    "output": ("while True: print('xxxxxxxxxxxxxxxxxxxxx')", "output_limit", 0),
    "none": (None, "no_code", None),
}
FUNCTION_PROGRAMS = {
    "right": (PAIRS, "passed", None),
    "a method": (
        "class Solution:\n    def pairs(self, xs, k):\n"
        + PAIRS.partition("\n")[2].replace("    ", "        "),
        "passed",
        None,
    ),
    "prints": (PAIRS + "\nprint('R[[], false]')", "passed", None),
    "number for a truth": (PAIRS.replace("k > 1", "int(k > 1)"), "wrong_answer", 0),
    "a set": (PAIRS.replace("s[1:]", "set(s)"), "runtime_error", 0),
    "no such function": (PAIRS.replace("pairs", "twos"), "runtime_error", 0),
    "forged": ("import os\nos.write(3, b'Rnot JSON')\nos._exit(0)", "runtime_error", 0),
    "nested too deep": (
        "import os\nos.write(3, b'R' + b'[' * 100000)\nos._exit(0)",
        "runtime_error",
        0,
    ),
    "equal to all": (
        "class A(list):\n    def __eq__(self, other): return True\ndef pairs(xs, k): return A()",
        "wrong_answer",
        0,
    ),
    "looks for the answer": (
        "import sys\ndef pairs(xs, k):\n    f = sys._getframe()\n    while f:\n"
        "        for v in [*f.f_locals.values(), *f.f_globals.values()]:\n"
        "            if 'true' in repr(v) and '3' in repr(v) and 'f_back' not in repr(v):\n"
        "                return [[1, 3], True]\n"
        "        f = f.f_back\n    return None",
        "wrong_answer",
        0,
    ),
}


def fenced(code):
    return f"```python\n{code}\n```"


def sample(problem, index, text, finish_reason="stop"):
    return Sample(problem.id, index, 7, text, finish_reason, 3, 4)


def what(verdict):
    return verdict.status, verdict.first_failing_test, verdict.passed_tests


@pytest.mark.parametrize("name", STDIN_PROGRAMS)
def test_statuses_of_stdin_programs(name):
    code, status, failing = STDIN_PROGRAMS[name]
    right = STDIN_PROGRAMS["right"][0]
    verdict, after = check_programs([(STDIN, code), (STDIN, right)], CONFIG)
    assert what(verdict) == (status, failing, 3 if status == "passed" else failing or 0)
    assert verdict.total_tests == 3
    assert what(after) == ("passed", None, 3)


@pytest.mark.parametrize("name", FUNCTION_PROGRAMS)
def test_statuses_of_functions(name):
    code, status, failing = FUNCTION_PROGRAMS[name]
    (verdict,) = check_programs([(FUNCTION, code)], CONFIG)
    assert what(verdict) == (status, failing, 2 if status == "passed" else failing)


def test_samples_are_extracted_and_keep_their_order():
    right = STDIN_PROGRAMS["right"][0]
    samples = [
        sample(STDIN, 0, fenced(right)),
        sample(FUNCTION, 0, f"<think>\n{fenced(PAIRS)}"),
        sample(STDIN, 3, f"<think>{fenced(right)}</think>\n{fenced('print(0)')}"),
        sample(FUNCTION, 1, fenced(PAIRS)),
        sample(STDIN, 1, f"```python\n{right}", "length"),
        sample(STDIN, 2, f"```python\n{right}", "stop"),
    ]
    verdicts = grade([FUNCTION, STDIN], samples, CONFIG)
    assert [(v.problem_id, v.index) for v in verdicts] == [(s.problem_id, s.index) for s in samples]
    assert [v.status for v in verdicts] == [
        *("passed", "no_code", "wrong_answer", "passed", "no_code", "passed")
    ]
    assert verdicts[1] == Verdict("pairs", 0, "no_code", None, 0, 2, 0.0, 0.0)
    assert 0 < verdicts[0].cpu_s < verdicts[0].wall_s < 5


def test_verdicts_do_not_depend_on_the_number_of_workers():
    quick = [name for name in STDIN_PROGRAMS if name not in ("sleep", "loop", "loop at the second")]
    programs = [(STDIN, STDIN_PROGRAMS[name][0]) for name in quick] * 4
    programs += [(FUNCTION, code) for code, _, _ in FUNCTION_PROGRAMS.values()] * 4
    seen = []
    one = check_programs(programs, CONFIG, workers=1)
    three = check_programs(
        programs, CONFIG, workers=3, report=lambda done, total: seen.append((done, total))
    )
    assert [replace(v, cpu_s=0, wall_s=0) for v in one] == [
        replace(v, cpu_s=0, wall_s=0) for v in three
    ]
    assert seen == [(i + 1, len(programs)) for i in range(len(programs))]


def test_a_program_does_not_reach_its_driver():
    kill = "import os\nfor s in (9, 19, 15):\n    try:\n        os.kill(os.getppid(), s)\n"
    kill += "    except OSError:\n        pass\nprint('unreached')"
    verdicts = check_programs([(STDIN, kill), (STDIN, STDIN_PROGRAMS["right"][0])], CONFIG)
    assert [v.status for v in verdicts] == ["wrong_answer", "passed"]


def test_a_sandbox_that_does_not_start_is_not_called_wrong(caplog, monkeypatch):
    broken = Isolation("broken", ("/bin/false",), "host", "same")
    monkeypatch.setattr("valley.evaluate.grade.find_isolation", lambda _: broken)
    verdicts = check_programs([(STDIN, STDIN_PROGRAMS["right"][0])], CONFIG)
    assert [v.status for v in verdicts] == ["infrastructure_error"]
    assert "not graded" in caplog.text


PRODUCT = """
import json, sys
test = json.loads(sys.stdin.readline())
a, b = map(int, test["actual"].split())
print("accept" if a * b == int(test["input"]) and test["expected"] else "reject")
"""


def checked(program):
    compare = {"rule": "checker", "program": program}
    tests = [{"input": "12\n", "output": "2 6"}, {"input": "35\n", "output": "5 7"}]
    return replace(STDIN, id="factors", tests=tests, compare=compare)


def test_a_checker_takes_every_right_answer():
    largest = (
        "n = int(input())\nd = next(d for d in range(n - 1, 0, -1) if n % d == 0)\nprint(d, n // d)"
    )
    problem = checked(PRODUCT)
    verdicts = check_programs([(problem, code) for code in (largest, "print(3, 4)")], CONFIG)
    assert [what(v) for v in verdicts] == [("passed", None, 2), ("wrong_answer", 1, 1)]


@pytest.mark.parametrize(
    "checker",
    ["1 / 0", "print('maybe')", "pass", "import os, time\nos.kill(os.getppid(), 9)\ntime.sleep(1)"],
)
def test_a_checker_that_fails_leaves_the_answer_unjudged(checker):
    problem, right = checked(checker), STDIN_PROGRAMS["right"][0]
    verdicts = check_programs([(problem, "print(3, 4)"), (STDIN, right)], CONFIG)
    assert [v.status for v in verdicts] == ["infrastructure_error", "passed"]
    assert verdicts[0].note


def test_a_checker_judges_functions_too():
    program = (
        "import json, sys\nt = json.loads(input())\n"
        "xs = json.loads(t['input'].split('\\n')[0])\n"
        "print('accept' if json.loads(t['actual']) in xs else 'reject')"
    )
    problem = Problem(
        "any",
        "test",
        "",
        [{"input": "[4, 5]", "output": "4"}],
        kind="function",
        function="f",
        compare={"rule": "checker", "program": program},
    )
    programs = ["def f(xs): return xs[1]", "def f(xs): return 9"]
    verdicts = check_programs([(problem, code) for code in programs], CONFIG)
    assert [v.status for v in verdicts] == ["passed", "wrong_answer"]


def test_a_loaded_machine_makes_no_right_answer_wrong():
    spin = ["/bin/sh", "-c", "while :; do :; done"]
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    # Each in a session of its own: Linux may share cores out among sessions.
    crowd = [subprocess.Popen(spin, start_new_session=True) for _ in range(5)]
    burns = (
        "import time\nx = int(input())\nwhile time.process_time() < 0.25: pass\n"
        "print((3 * x + 4) % 10)"
    )
    problem = replace(STDIN, tests=TESTS[:1])
    try:
        (verdict,) = check_programs([(problem, burns)], GradeConfig(wall_limit_factor=50))
    finally:
        os.sched_setaffinity(0, cores)
        for process in crowd:
            process.kill()
            process.wait()
    assert verdict.status == "passed"
    # By the clock it took longer than it had CPU time.
    assert verdict.cpu_s < problem.time_limit_s < verdict.wall_s


def test_only_the_problems_at_work_are_held():
    class Counted(dict):
        """Problems that know how often each was read."""

        def __init__(self, problems):
            super().__init__(problems)
            self.reads = []

        def __getitem__(self, key):
            self.reads.append(key)
            return super().__getitem__(key)

    problems = Counted({name: replace(STDIN, id=name) for name in "abcdef"})
    right = fenced(STDIN_PROGRAMS["right"][0])
    samples = [sample(problems[name], i, right) for i in range(3) for name in problems]
    problems.reads.clear()
    verdicts = grade(problems, samples, CONFIG, workers=2)
    assert [(v.problem_id, v.index) for v in verdicts] == [(s.problem_id, s.index) for s in samples]
    # Once to see that all can be graded, once to grade: samples of a problem follow one another.
    assert problems.reads == [*"abcdef", *"abcdef"]


def test_reuse_decides_whether_programs_share_a_sandbox(monkeypatch):
    started, start = [], Sandbox.__init__
    monkeypatch.setattr(
        Sandbox, "__init__", lambda *given: started.append(given[0]) or start(*given)
    )
    programs = [(STDIN, STDIN_PROGRAMS["right"][0])] * 3
    for reuse in (True, False):
        started.clear()
        verdicts = check_programs(programs, CONFIG.model_copy(update={"reuse": reuse}))
        assert [v.status for v in verdicts] == ["passed"] * 3
        # One more may stand ready when the last is put away.
        assert len(started) == 1 if reuse else len(started) >= 3


def test_a_folder_that_cannot_be_emptied_does_not_disturb_what_follows():
    dirty = "import os\nfor _ in range(1500):\n    os.mkdir('d')\n    os.chdir('d')\nprint(4)"
    right = STDIN_PROGRAMS["right"][0]
    slow = replace(STDIN, time_limit_s=20)
    verdicts = check_programs([(slow, dirty), (slow, right)], CONFIG)
    assert [what(v) for v in verdicts] == [("wrong_answer", 1, 1), ("passed", None, 3)]


def test_a_large_test_passes_through():
    numbers = "\n".join(map(str, range(200_000)))
    problem = replace(STDIN, tests=[{"input": numbers, "output": numbers}], time_limit_s=10)
    config = GradeConfig()
    (verdict,) = check_programs([(problem, "import sys\nprint(sys.stdin.read())")], config)
    assert verdict.status == "passed"


@pytest.mark.parametrize(
    ("problems", "samples", "message"),
    [
        ([STDIN], [], "no samples"),
        ([STDIN], [sample(FUNCTION, 4, "")], "sample 4 is of problem 'pairs'"),
        ([STDIN, STDIN], [sample(STDIN, 0, "")], "'affine' is given twice"),
        ([replace(STDIN, compare={"rule": "x"})], [sample(STDIN, 0, "")], "'affine': compare"),
        (
            [replace(FUNCTION, tests=[{"input": "1", "output": "one"}])],
            [sample(FUNCTION, 0, "")],
            "'pairs', test 0",
        ),
        (
            [replace(FUNCTION, tests=[{"input": "1\nx y", "output": "1"}])],
            [sample(FUNCTION, 0, "")],
            "'pairs', test 0",
        ),
        ([replace(FUNCTION, function="a b")], [sample(FUNCTION, 0, "")], "'a b' names no function"),
    ],
)
def test_mistakes(problems, samples, message):
    with pytest.raises(UserError, match=message):
        grade(problems, samples, CONFIG)


def test_workers_must_be_positive():
    with pytest.raises(UserError, match="workers: 0"):
        check_programs([(STDIN, "")], CONFIG, workers=0)


def test_an_error_in_the_report_ends_the_work():
    def report(done, total):
        raise RuntimeError("stop here")

    with pytest.raises(RuntimeError, match="stop here"):
        check_programs([(STDIN, "print(4)")] * 50, CONFIG, workers=2, report=report)


@pytest.mark.parametrize("mode", ["strict", "lcb"])
def test_an_end_does_not_wait_for_programs_that_are_at_work(mode):
    tests = [{"input": f"{n}\n", "output": f"{n}\n"} for n in range(60)]
    slow = Problem("slow", "test", "", tests, time_limit_s=5, memory_limit_mib=256)
    sleeps = "import time\ntime.sleep(1)\nprint(input())"

    def report(done, total):
        raise RuntimeError("stop here")

    began = time.monotonic()
    with pytest.raises(RuntimeError, match="stop here"):
        check_programs(
            [(slow, sleeps), (STDIN, "print(4)")],
            CONFIG.model_copy(update={"mode": mode}),
            workers=2,
            report=report,
        )
    # Its tests would have taken a minute.
    assert time.monotonic() - began < 30
