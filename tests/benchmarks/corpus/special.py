"""Programs on which graders differ, each kind with its reason: see `agreement.REASONS`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from valley.data.problems import Problem

from .problem import TIME_LIMIT_S, Own, small

TESTS = 10
PRINT_TOTAL = "print(sum(map(int, rest.split())))\n"
READ = "n = int(input())\nrest = input()\n"

# The 13 right programs that LiveCodeBench's grader fails.
IDIOMS = {
    "buffer-readline": "import sys\nread = sys.stdin.buffer.readline\nn = int(read())\nrest = read()\n"
    + PRINT_TOTAL,
    "iterate-stdin": "import sys\nlines = []\nfor line in sys.stdin:\n    lines.append(line)\n"
    "rest = lines[1]\n" + PRINT_TOTAL,
    "open-0": "n, rest = open(0).read().split('\\n')[:2]\n" + PRINT_TOTAL,
    "os-read": "import os\nn, rest = os.read(0, 65536).decode().split('\\n')[:2]\n" + PRINT_TOTAL,
    "buffer-write": "import sys\n"
    + READ
    + "sys.stdout.buffer.write(b'%d\\n' % sum(map(int, rest.split())))\n",
    "input-then-read": "import sys\nn = int(input())\nrest = sys.stdin.read()\n" + PRINT_TOTAL,
    "input-then-readlines": "import sys\nn = int(input())\nrest = sys.stdin.readlines()[0]\n"
    + PRINT_TOTAL,
    "global": READ + "total = 0\n\n\ndef add(x):\n    global total\n    total += x\n\n\n"
    "for x in rest.split():\n    add(int(x))\nprint(total)\n",
    "quit": READ + PRINT_TOTAL + "quit()\n",
    "import-resource": "import resource\n" + READ + PRINT_TOTAL,
    "future": "from __future__ import annotations\n" + READ + PRINT_TOTAL,
    "star-import": READ + "if n:\n    from math import *\n" + PRINT_TOTAL,
    "main-guard-not-last": "def main():\n    n = int(input())\n    rest = input()\n    "
    + PRINT_TOTAL
    + "\n\nif __name__ == '__main__':\n    main()\n\nfinished = True\n",
}
# Right ones on which only the older package fails.
OLDER_IDIOMS = {
    "buffer-read": "import sys\nn, rest = sys.stdin.buffer.read().decode().split('\\n')[:2]\n"
    + PRINT_TOTAL,
}
STDIN_CHEATS = {
    "prints-expected": """\
import sys

frame = sys._getframe()
while frame:
    if "gt_out" in frame.f_locals:
        print(frame.f_locals["gt_out"])
        break
    frame = frame.f_back
""",
}
REPLACED = {
    "comparison": """\
import sys

for module in list(sys.modules.values()):
    if hasattr(module, "get_stripped_lines"):
        module.get_stripped_lines = lambda text: []
""",
}
FUNCTION_CHEATS = {
    "equals-all": """\
class Answer(list):
    def __eq__(self, other):
        return True


def two_sum(nums, target):
    return Answer()
""",
    "frame-of-caller": """\
import sys


def two_sum(nums, target):
    return sys._getframe(1).f_locals["gt_out"]
""",
}
# What works only because the grader itself has imported it.
MISSING_IMPORTS = {
    "math": READ + "print(floor(math.fsum(map(int, rest.split()))))\n",
    "deque": READ + "queue = deque(map(int, rest.split()))\ntotal = 0\nwhile queue:\n"
    "    total += queue.popleft()\nprint(total)\n",
    "sys": READ + "sys.stdout.write(str(sum(map(int, rest.split()))))\n",
}
TYPED = """\
class Solution:
    def two_sum(self, nums: List[int], target: int) -> List[int]:
        seen = defaultdict(lambda: -1)
        for i, x in enumerate(nums):
            if seen[target - x] >= 0:
                return [seen[target - x], i]
            seen[x] = i
        return []
"""
STATE = {
    "class-attribute": """\
class Solution:
    seen = {}

    def two_sum(self, nums, target):
        for i, x in enumerate(nums):
            if target - x in self.seen:
                return [self.seen[target - x], i]
            self.seen[x] = i
        return []
""",
    "default-argument": """\
def two_sum(nums, target, seen={}):
    for i, x in enumerate(nums):
        if target - x in seen:
            return [seen[target - x], i]
        seen[x] = i
    return []
""",
}


@dataclass(frozen=True)
class Case:
    """A program on a problem. `expected` is strict's status, None where it is not settled here."""

    name: str
    kind: str
    problem: Problem
    code: str
    expected: str | None = None


def special(owns: dict[str, Own]) -> list[Case]:
    """All of them but the escapes, which need something to escape to."""
    total, two_sum, pascal = (small(owns[k], TESTS) for k in ("total", "two-sum", "pascal"))
    flags = small(
        Own(
            "flags",
            "def flags(nums):\n    return [x % 2 for x in nums]\n",
            ("% 2", "% 3"),
            lambda rng, size: [list(range(size + 1))],
            function="flags",
        ),
        TESTS,
    )
    ratio = replace(
        total,
        id="ratio",
        tests=[{"input": f"{n}\n", "output": f"mean {n / 2}\n"} for n in range(TESTS)],
    )
    single = replace(total, id="total-once", tests=total.tests[-1:])
    cases = [
        *_cases("idiom", total, IDIOMS | OLDER_IDIOMS, "passed"),
        *_cases("cheat", total, STDIN_CHEATS, "wrong_answer"),
        *_cases("cheat", two_sum, FUNCTION_CHEATS, None),
        *_cases("replaced grader", total, REPLACED, "wrong_answer"),
        *_cases("missing import", total, MISSING_IMPORTS, "runtime_error"),
        *_cases("missing import", two_sum, {"typing": TYPED}, None),
        *_cases("state", two_sum, STATE, "passed"),
    ]
    tuples = owns["pascal"].program.replace(
        "return triangle", "return [tuple(x) for x in triangle]"
    )
    cases += _cases("return type", pascal, {"nested-tuples": tuples}, "passed")
    truths = "def flags(nums):\n    return [x % 2 == 1 for x in nums]\n"
    cases += _cases("return type", flags, {"truth-for-number": truths}, "wrong_answer")
    code = READ + PRINT_TOTAL
    cases += _cases("exit status", total, {"exit-1": code + "import sys\nsys.exit(1)\n"}, None)
    padded = "n = int(input())\nprint(f'mean {n / 2:.3f}')\n"
    cases += _cases("comparison", ratio, {"word-and-decimals": padded}, None)
    for name, share in (("within", 0.9), ("beyond", 1.1)):
        spin = (
            "import time\n\nend = time.process_time() + "
            f"{share * TIME_LIMIT_S}\nwhile time.process_time() < end:\n    pass\n"
        )
        cases += _cases("time limit margin", single, {name: spin + code}, None)
    waits = f"import time\n\ntime.sleep({1.5 * TIME_LIMIT_S})\n"
    return cases + _cases("waiting", single, {"sleep": waits + code}, None)


def escapes(owns: dict[str, Own], folder: str, port: int) -> list[Case]:
    """Programs that answer rightly once they have reached out of the grader.

    Args:
        folder: outside of it, writable; empty before and removed after.
        port: of a listener on loopback.
    """
    programs = {
        "spawn": "import os\npid = os.posix_spawn('/bin/true', ['true'], {})\nos.waitpid(pid, 0)\n",
        "write": f"import os\nfd = os.open({folder + '/escaped'!r}, os.O_CREAT | os.O_WRONLY)\n"
        "os.write(fd, b'!')\nos.close(fd)\n",
        "socket": f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 1).close()\n",
        "memory": "import mmap\nroom = mmap.mmap(-1, 2_500_000_000)\n",
        "grandchild": "import os\nos.posix_spawn('/bin/sleep', ['sleep', '20'], {})\n",
    }
    total = small(owns["total"], TESTS)
    once = replace(total, id="total-escape", tests=total.tests[:1])
    code = READ + PRINT_TOTAL
    return _cases("escape", once, {name: reach + code for name, reach in programs.items()}, None)


def _cases(kind: str, problem: Problem, codes: dict[str, str], expected: str | None) -> list[Case]:
    return [Case(f"{kind}/{name}", kind, problem, code, expected) for name, code in codes.items()]
