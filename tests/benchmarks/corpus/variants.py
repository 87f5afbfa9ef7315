"""Variants of a problem's program: the same work in another idiom of input, and ways to fail."""

from __future__ import annotations

import textwrap

from .problem import Own

READLINE = """\
import sys

input = lambda: sys.stdin.readline().rstrip("\\n")
"""
READ_ALL = """\
import sys

feed = iter(sys.stdin.read().split("\\n"))


def input():
    return next(feed)


"""
COLLECTED = """\
import sys

written = []


def print(*values):
    written.append(" ".join(map(str, values)))


"""
WRITE_ALL = 'sys.stdout.write("\\n".join(written) + "\\n")\n'

SLOW = {
    "endless": """\
n = 10
while n != 5:
    n -= 10
""",
    "subsets": """\
odd = 0
for mask in range(1 << 40):
    odd += bin(mask).count("1") % 2
""",
    "recursion": """\
def ways(n):
    return 1 if n < 2 else ways(n - 1) + ways(n - 2)


ways(60)
""",
    "pairs": """\
xs = list(range(100000))
close = 0
for a in xs:
    for b in xs:
        if abs(a - b) < 2:
            close += 1
""",
}
CRASHES = {
    "index": "[3, 1, 2].pop(3)\n",
    "key": "{'a': 1}['b']\n",
    "zero": "10 // (2 - 2)\n",
    "value": "int('3.5')\n",
    "type": "len(5)\n",
    "attribute": "None.append(1)\n",
    "module": "import no_such_module_here\n",
    "raise": "raise RuntimeError('no answer')\n",
    "assert": "assert 1 > 2\n",
    "recursion": "def f(n):\n    return f(n + 1)\n\n\nf(0)\n",
}


def correct(own: Own) -> dict[str, str]:
    """Programs that give the right answers in ways that every grader should know."""
    program = own.program
    if own.function is not None:
        own_call, own_definition = f"{own.function}(", f"def self.{own.function}("
        method = program.replace(own_call, f"self.{own_call}")
        method = method.replace(own_definition, f"def {own_call}self, ")
        helped = f"\n\ndef {own_call}*arguments):\n    return helper(*arguments)\n"
        return {
            "function": program,
            "method": f"class Solution:\n{textwrap.indent(method, '    ')}",
            "helper": program.replace(own_call, "helper(") + helped,
        }
    indented = textwrap.indent(program, "    ")
    return {
        "input": program,
        "readline": READLINE + program,
        "read-all": READ_ALL + program,
        "main": f"def main():\n{indented}\n\nif __name__ == '__main__':\n    main()\n",
        "write-all": COLLECTED + program + WRITE_ALL,
    }


def wrong(own: Own) -> dict[str, str]:
    """Programs with a slip, and those that answer in another form than asked for."""
    if own.function is not None:
        return {"slip": own.wrong, "none": _instead(own, "return None")}
    return {"slip": own.wrong, "extra-line": own.program + "print('done')\n"}


def slow(own: Own, number: int) -> dict[str, str]:
    """One program that takes for ever before it answers; `number` says in which way."""
    name, waste = _pick(SLOW, number)
    return {name: _first(own, waste)}


def crash(own: Own, number: int) -> dict[str, str]:
    """A program that fails before its answer; for stdin also one that fails after it."""
    name, fault = _pick(CRASHES, number)
    before = {name: _first(own, fault)}
    return before if own.function else before | {f"{name}-after": own.program + fault}


def _pick(ways: dict[str, str], number: int) -> tuple[str, str]:
    return list(ways.items())[number % len(ways)]


def _first(own: Own, code: str) -> str:
    """The program after some code; in a function, at its call and not at its definition."""
    if own.function is None:
        return code + own.program
    return _instead(own, f"{textwrap.indent(code, '    ').strip()}\n    return answer(*arguments)")


def _instead(own: Own, body: str) -> str:
    """The function under its name does `body`; `answer` is what it was."""
    return f"{own.program}\n\nanswer = {own.function}\n\n\ndef {own.function}(*arguments):\n    {body}\n"
