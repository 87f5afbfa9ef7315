"""Mode lcb says what LiveCodeBench's own grader says, on programs where the two were compared."""

import itertools
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lcb_cases import ANSWERS, CASES, PAIR, SUM, TESTS, TIMEOUT_S

from valley.data.problems import Problem
from valley.evaluate.config import GradeConfig
from valley.evaluate.driver.lcb import read_tests
from valley.evaluate.grade import check_programs, grade
from valley.evaluate.lcb import Told, extract_code, pack_tests, read_told
from valley.evaluate.samples import Sample
from valley.records import read_records, write_records

HERE = Path(__file__).parent
GOLDEN = json.loads((HERE / "lcb_golden.json").read_text())
PYTHON = "{}.{}".format(*sys.version_info)
CONFIG = GradeConfig(mode="lcb", lcb_timeout_s=TIMEOUT_S)
LASTING = {
    "a loop at the second",
    "each in time, together not",
    "the alarm caught, for ever",
    "the alarm caught, without its line",
    "the alarm put off",
}
"""Those that take seconds, for a slow test."""
BRIEF = [name for name in CASES if name not in LASTING]


def problem(tests, function=None):
    kind = "stdin" if function is None else "function"
    pairs = [{"input": given, "output": wanted} for given, wanted in tests]
    return Problem("p", "test", "", pairs, kind=kind, function=function)


PROBLEMS = {name: problem(tests.pairs, tests.function) for name, tests in TESTS.items()}


@pytest.fixture(scope="module")
def verdicts():
    return checked(BRIEF)


def checked(names):
    programs = [(PROBLEMS[CASES[name][0]], CASES[name][1]) for name in names]
    return dict(zip(names, check_programs(programs, CONFIG, workers=2), strict=True))


def said(verdict):
    """Upstream's words for a verdict: passed, error code, and the test that failed if any did."""
    if verdict.status == "no_code":  # upstream runs nothing, and so do we, but we do not start it
        return False, -4, 0
    _, _, code = verdict.note.partition("lcb ")
    code = int(code or 0)
    return verdict.status == "passed", code, None if code == -5 else verdict.first_failing_test


def golden_said(golden):
    passed, code, results = golden
    failing = [i for i, result in enumerate(results) if isinstance(result, int) and result <= 0]
    return passed, code, None if passed or code == -5 else failing[0]


of_this_python = pytest.mark.skipif(
    GOLDEN["python"] != PYTHON, reason=f"upstream was measured with Python {GOLDEN['python']}"
)


@of_this_python
@pytest.mark.parametrize("name", BRIEF)
def test_the_verdict_is_upstream_s(verdicts, name):
    assert said(verdicts[name]) == golden_said(GOLDEN["verdicts"][name])


@of_this_python
@pytest.mark.slow
def test_the_verdicts_of_what_takes_seconds_are_upstream_s():
    verdicts = checked(sorted(LASTING))
    golden = {name: golden_said(GOLDEN["verdicts"][name]) for name in LASTING}
    assert {name: said(verdict) for name, verdict in verdicts.items()} == golden
    assert verdicts["the alarm caught, for ever"].status == "time_limit"


def test_every_case_was_measured():
    assert GOLDEN["verdicts"].keys() == CASES.keys()


def test_cheats_pass_and_are_noted_and_honest_programs_are_not(verdicts):
    noted = {name for name, v in verdicts.items() if v.note.startswith("cheat: ")}
    cheats = {n for n, v in verdicts.items() if n.startswith("cheat") and v.status == "passed"}
    assert noted == cheats
    assert len(cheats) >= 15
    assert verdicts["cheat: f_locals"].note == "cheat: sys._getframe"
    assert verdicts["cheat: __eq__ within"].note == "cheat: returned 'E'"


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("wrong", "wrong_answer"),
        ("a loop", "time_limit"),
        ("an exception", "runtime_error"),
        ("KeyboardInterrupt", "runtime_error"),
        ("MemoryError", "memory_limit"),
        ("syntax", "syntax_error"),
        ("syntax of a function", "syntax_error"),
        ("a star import in a block", "runtime_error"),
        ("empty", "no_code"),
        ("cheat: __eq__ that says -1", "wrong_answer"),
    ],
)
def test_statuses(verdicts, name, status):
    assert verdicts[name].status == status


def test_passed_tests_are_counted_also_where_the_process_ends(verdicts):
    assert verdicts["wrong at the third"].passed_tests == 2
    died = "import os\n" + SUM + "\nif n == 1: os._exit(0)"
    verdict = check_programs([(PROBLEMS["sum"], died)], CONFIG)[0]
    assert (verdict.status, verdict.note) == ("runtime_error", "lcb -5")
    assert (verdict.first_failing_test, verdict.passed_tests) == (1, 1)


def test_memory_is_limited_as_in_strict_mode():
    verdict = check_programs([(PROBLEMS["sum"], "x = bytearray(3 << 30)")], CONFIG)[0]
    assert (verdict.status, verdict.note) == ("memory_limit", "lcb -4")


def test_a_run_cannot_change_the_tests_of_the_next():
    attack = (
        "import os\n"
        "for fd in range(3, 64):\n"
        "    try: os.pwrite(fd, b'1 1\\n00', 0)\n"
        "    except OSError: pass\n"
    )
    programs = [(PROBLEMS["sum"], attack + SUM), (PROBLEMS["sum"], SUM)]
    assert [v.status for v in check_programs(programs, CONFIG)][1] == "passed"


def test_a_busy_core_does_not_ring_the_alarm():
    spin = "import time\nend = time.process_time() + 0.6\nwhile time.process_time() < end: pass\n"
    programs = [(PROBLEMS["one sum"], spin + SUM)] * 3
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})  # of this thread, and of what it starts
    try:
        verdicts = check_programs(programs, CONFIG, workers=3)
    finally:
        os.sched_setaffinity(0, cores)
    assert {v.status for v in verdicts} == {"passed"}
    assert max(v.wall_s for v in verdicts) > TIMEOUT_S


@pytest.mark.parametrize("text", ANSWERS)
def test_the_program_is_taken_from_an_answer_as_upstream_does(text):
    assert extract_code(text) == GOLDEN["answers"][ANSWERS.index(text)]


def test_answers_are_graded_by_upstream_s_rules():
    thought = f"<think>\n```python\n{SUM}\n```\nand it was cut"
    texts = [thought, f"```python\n{SUM}", "no code"]
    samples = [Sample("p", i, 0, text, "length", 1, 1) for i, text in enumerate(texts)]
    verdicts = grade([PROBLEMS["sum"]], samples, CONFIG)
    assert [v.status for v in verdicts] == ["passed", "no_code", "no_code"]


def test_command_line(spaced):
    write_records(spaced / "p.jsonl", [PROBLEMS["sum"]])
    texts = [f"```\n{SUM}\n```", "```\nfor line in sys.stdin: print(line)\n```"]
    samples = [Sample("p", i, 0, text, "stop", 1, 1) for i, text in enumerate(texts)]
    write_records(spaced / "s.jsonl", samples)
    command = [sys.executable, "-m", "valley.evaluate.grade", "--mode", "lcb"]
    command += ["--problems", "p.jsonl", "--samples", "s.jsonl", "--out", "v.jsonl"]
    path = os.pathsep.join(p for p in sys.path if p)
    subprocess.run(command, check=True, cwd=spaced, env=os.environ | {"PYTHONPATH": path})
    from valley.evaluate.samples import Verdict

    verdicts = read_records(spaced / "v.jsonl", Verdict)
    assert [(v.status, v.note) for v in verdicts] == [("passed", ""), ("runtime_error", "lcb -4")]


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1, max_size=5))
def test_packed_tests_are_read_as_they_were(pairs):
    inputs, outputs = read_tests(pack_tests(problem(pairs)))
    assert list(zip(inputs, outputs, strict=True)) == pairs


@given(st.binary(max_size=200) | st.text("crode sult01-\n.25 ", max_size=60).map(str.encode))
def test_whatever_a_program_writes_as_its_result_is_read(answer):
    told = read_told(answer)
    assert isinstance(told, Told)
    assert told.code in (0, -2, -3, -4, -5)


def test_the_first_result_counts():
    told = read_told(b"..\nresult 1 1 0\n\ncode -2 \nresult 1 1 1\ncode 0 \n")
    assert (told.right, told.code, told.ran) == ((True, True, False), -2, 2)


# Against upstream itself

READ = {
    "input": "n, xs = int(input()), list(map(int, input().split()))",
    "read": "import sys\nn, *xs = map(int, sys.stdin.read().split())",
    "stdin read": "from sys import stdin\nn, *xs = map(int, stdin.read().split())",
    "buffer": "import sys\nn, *xs = map(int, sys.stdin.buffer.read().split())",
    "buffer readline": "import sys\nr = sys.stdin.buffer.readline\nn, xs = int(r()), list(map(int, r().split()))",
    "readline": "import sys\nr = sys.stdin.readline\nn, xs = int(r()), list(map(int, r().split()))",
    "stdin readline": "from sys import stdin\nn, xs = int(stdin.readline()), list(map(int, stdin.readline().split()))",
    "lines": "import sys\nlines = sys.stdin.readlines()\nn, xs = int(lines[0]), list(map(int, lines[1].split()))",
    "splitlines": "import sys\nlines = sys.stdin.read().splitlines()\nn, xs = int(lines[0]), list(map(int, lines[1].split()))",
    "iterated": "import sys\nlines = list(sys.stdin)\nn, xs = int(lines[0]), list(map(int, lines[1].split()))",
    "open": "n, *xs = map(int, open(0).read().split())",
    "mixed": "import sys\nn = int(input())\nxs = list(map(int, sys.stdin.read().split()))",
}
SOLVE = {
    "sum": "s = sum(xs)",
    "loop": "s = 0\nfor x in xs:\n    s += x",
    "reduce": "s = functools.reduce(lambda a, b: a + b, xs, 0)",
    "global": "s = 0\ndef add(x):\n    global s\n    s += x\nfor x in xs: add(x)",
    "nested": "def total(i):\n    return xs[i] + total(i + 1) if i < len(xs) else 0\ns = total(0)",
    "first only": "s = xs[0]",
    "crash": "s = sum(xs) // (n - 2)",
}
WRITE = {
    "print": "print(s)",
    "float": "print(float(s))",
    "write": "import sys\nsys.stdout.write(f'{s}\\n')",
    "from import": "from sys import stdout\nstdout.write(str(s))",
    "buffer": "import sys\nsys.stdout.buffer.write(b'%d' % s)",
    "blank lines": "print()\nprint(s, '')\nprint()",
    "exit": "print(s)\nexit()",
    "quit": "print(s)\nquit()",
    "twice": "print(s)\nprint(s)",
}
SHAPE = {
    "flat": lambda text: text,
    "main": lambda text: "def main():\n    " + text.replace("\n", "\n    ") + "\nmain()",
    "guard": lambda text: (
        "def main():\n    "
        + text.replace("\n", "\n    ")
        + "\nif __name__ == '__main__':\n    main()"
    ),
    "flat guard": lambda text: "if __name__ == '__main__':\n    " + text.replace("\n", "\n    "),
    "future": lambda text: "from __future__ import annotations\n" + text,
    "class": lambda text: "class A:\n    " + text.replace("\n", "\n    "),
    "try": lambda text: "try:\n    " + text.replace("\n", "\n    ") + "\nexcept Exception: print(6)",
}  # fmt: skip
VALUES = ["[xs[0], k]", "(xs[0], k)", "[float(xs[0]), k]", "[xs[0], bool(k)]", "xs", "None"]
VALUES += ["str([xs[0], k])", "[xs[0], k, 1 / k][:2]", "iter([xs[0], k])", "{0: 1}", "pair"]


def generated_programs(count):
    """Programs from parts, for the sums and the pairs."""
    rows = [
        (TESTS["sum"], shape("\n".join(parts)))
        for *parts, shape in itertools.product(
            READ.values(), SOLVE.values(), WRITE.values(), SHAPE.values()
        )
    ]
    rows = random.Random(0).sample(rows, count)
    rows += [(TESTS["pair"], PAIR.replace("[xs[0], k]", value)) for value in VALUES]
    return rows


@pytest.mark.slow
def test_generated_programs_against_a_checkout(spaced):
    if "VALLEY_LCB_CHECKOUT" not in os.environ:
        pytest.skip("VALLEY_LCB_CHECKOUT names no clone of LiveCodeBench at 28fef95")
    rows = generated_programs(600)
    programs = [(tests.pairs, tests.function, program) for tests, program in rows]
    (spaced / "in.json").write_text(json.dumps(programs))
    python = os.environ.get("VALLEY_LCB_PYTHON", sys.executable)
    script = [python, HERE / "lcb_upstream.py", os.environ["VALLEY_LCB_CHECKOUT"]]
    subprocess.run([*script, "in.json", "out.json"], check=True, cwd=spaced, capture_output=True)
    theirs = [golden_said(row) for row in json.loads((spaced / "out.json").read_text())]
    graded = [(problem(pairs, function), code) for pairs, function, code in programs]
    ours = check_programs(graded, GradeConfig(mode="lcb"), workers=2)
    differing = [
        (program[2], their, said(our))
        for program, their, our in zip(programs, theirs, ours, strict=True)
        if said(our) != their
    ]
    assert differing == []
    assert 100 < sum(passed for passed, _, _ in theirs) < len(theirs) - 100
