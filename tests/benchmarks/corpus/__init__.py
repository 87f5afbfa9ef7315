"""Sixty problems of our own with right, wrong, slow and crashing programs, and what graders differ on."""

from __future__ import annotations

from . import variants
from .arithmetic import ARITHMETIC
from .functions import FUNCTIONS
from .graphs import GRAPHS
from .problem import Own, large, small
from .sequences import SEQUENCES
from .special import TESTS, Case, escapes, special
from .text import TEXT

OWN = {own.name: own for own in (*SEQUENCES, *ARITHMETIC, *TEXT, *GRAPHS, *FUNCTIONS)}

__all__ = ["OWN", "Case", "Own", "escapes", "large", "own_cases", "small", "special"]


def own_cases(tests: int = TESTS) -> list[Case]:
    """Each problem with its variants, on that many small tests."""
    cases = []
    for number, own in enumerate(OWN.values()):
        problem = small(own, tests)
        for kind, status, programs in (
            ("correct", "passed", variants.correct(own)),
            ("wrong", "wrong_answer", variants.wrong(own)),
            ("slow", "time_limit", variants.slow(own, number)),
            ("crash", "runtime_error", variants.crash(own, number)),
        ):
            cases += [
                Case(f"{own.name}/{kind}/{name}", kind, problem, code, status)
                for name, code in programs.items()
            ]
    return cases
