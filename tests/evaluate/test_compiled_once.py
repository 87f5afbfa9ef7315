"""A program is compiled at its first test; no test of it can change what the others run."""

from __future__ import annotations

import pytest

from valley.errors import UserError
from valley.evaluate.probe import find_isolation
from valley.evaluate.sandbox import Run, Sandbox

FORGERY = """
import marshal, os
code = marshal.dumps(compile("print('forged')", "solution.py", "exec"))
for fd in range(3, 64):
    try:
        os.write(fd, code)
    except OSError:
        pass
print(input())
"""
LARGE = "".join(f"def f{i}(a):\n    return a + {i}, 'text {i}'\n" for i in range(1500))


@pytest.fixture(scope="module", params=["auto", "rlimits"])
def sandbox(request):
    try:
        isolation = find_isolation(request.param)
    except UserError as error:
        pytest.skip(str(error))
    with Sandbox(isolation) as started:
        yield started


def ran(sandbox, source, stdin, function=None):
    return sandbox.run(Run(source, stdin, function, 5.0, 20.0, 512, 1 << 20))


@pytest.mark.parametrize(
    "source",
    [
        "print(input())",
        "import sys\ndef f(a=[]):\n    a.append(1)\n    return a\nf()\nprint(sys.stdin.read()[:-1])",
        "class A:\n    '''Text.'''\n    x: int = 1\nassert A.__doc__ == 'Text.'\nprint(input())",
        f"{LARGE}\nprint(input()) if f1499(1)[0] == 1500 else None",
        FORGERY,
    ],
    ids=["small", "default", "class", "large", "forgery"],
)
def test_every_test_runs_the_same_program(sandbox, source):
    for number in range(4):
        outcome = ran(sandbox, source, f"{number}\n")
        assert (outcome.stdout, outcome.exit_code) == (f"{number}\n".encode(), 0)
    assert ran(sandbox, "print(input(), 'another')", "1\n").stdout == b"1 another\n"
    assert ran(sandbox, source, "9\n").stdout == b"9\n"


def test_a_function_and_a_script_of_one_text_are_told_apart(sandbox):
    source = "def double(n):\n    return n * 2\nif __name__ == '__main__':\n    print('script')"
    for _ in range(2):
        assert ran(sandbox, source, "4\n", "double").answer == b"8"
        assert ran(sandbox, source, "").stdout == b"script\n"


def test_faults_are_told_at_every_test_with_their_line(sandbox):
    for _ in range(3):
        assert ran(sandbox, "a = 1\nprint(", "").syntax_error
    for number in (1, 0, 1, 0, 0):
        outcome = ran(sandbox, "n = int(input())\nprint(1 // n)", f"{number}\n")
        assert outcome.exit_code == 1 - number and not outcome.syntax_error
        assert number or 'solution.py", line 2' in outcome.stderr


def test_what_is_nested_too_deeply_to_be_kept_still_runs(sandbox):
    source = "x = " + "[" * 90 + "1" + "]" * 90 + "\nprint(input())"
    for number in range(3):
        assert ran(sandbox, source, f"{number}\n").stdout == f"{number}\n".encode()
