"""The tiny world: problems that a student of half a million parameters can learn to reason about.

A problem is a pipeline of additions, subtractions and multiplications on an integer, stated in
words; its answer is a Python program, in closed form, that must pass stdin/stdout tests. Difficulty
is the pipeline's length. The teacher thinks by writing the running coefficients of `a * x + b` after
each step; now and then it slips in one step and goes on from there, so that its program really fails
(unless a later step hides the slip: the grader, not this module, says which traces are correct).

Evaluation problems are held out by a hash of the statement *before* anything is drawn, so that no
training set, the first student's included, can hold one, whatever the seeds.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import random
from collections import Counter
from collections.abc import Iterator

from valley.data.config import TinyConfig
from valley.data.problems import Problem
from valley.data.traces import Trace
from valley.errors import UserError

Step = tuple[str, int]
OPERATIONS = ("add", "subtract", "multiply by")
TESTS_PER_PROBLEM = 3


def statement(steps: list[Step], modulus: int) -> str:
    """State a pipeline in words."""
    words = ", ".join(f"{operation} {operand}" for operation, operand in steps)
    return f"Read an integer x, {words}, and print the result modulo {modulus}."


def apply_step(step: Step, a: int, b: int, modulus: int) -> tuple[int, int]:
    """The coefficients of `a * x + b` after one more step, modulo `modulus`."""
    operation, operand = step
    match operation:
        case "add":
            b += operand
        case "subtract":
            b -= operand
        case _:
            a, b = a * operand, b * operand
    return a % modulus, b % modulus


def program(a: int, b: int, modulus: int) -> str:
    """The answer to a problem: a program in closed form, in a code fence."""
    return f"```python\nprint(({a} * int(input()) + {b}) % {modulus})\n```"


def is_held_out(text: str, fraction: float) -> bool:
    """Whether a statement belongs to the evaluation side. Depends on nothing but the statement."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    return number < fraction * 2**64


def think(
    steps: list[Step], modulus: int, slip_at: int | None, rng: random.Random
) -> tuple[str, int, int]:
    """Work a pipeline out step by step.

    Args:
        slip_at: the step, from 0, after which one coefficient is wrong; None for no slip.

    Returns:
        The thought, and the coefficients a and b at its end.
    """
    a, b = 1, 0
    lines = []
    for index, step in enumerate(steps):
        a, b = apply_step(step, a, b, modulus)
        if index == slip_at:
            wrong = rng.randrange(1, modulus)
            if rng.random() < 0.5:
                a = (a + wrong) % modulus
            else:
                b = (b + wrong) % modulus
        lines.append(f"{step[0]} {step[1]}: {a} {b}")
    return "\n".join(lines), a, b


def check_room(config: TinyConfig) -> None:
    """Refuse lengths of which too few distinct problems can be drawn, without drawing any.

    Raises:
        UserError: names the length, what there is and what is wanted.
    """
    lengths = config.evaluation_lengths
    wanted: Counter[int] = Counter()
    for index, length in enumerate(lengths):
        wanted[length] += len(range(index, config.evaluation_problems, len(lengths)))
    change = "leave the length out, raise modulus, or change held_out_fraction"
    for length, count in sorted(wanted.items()):
        held_out, _ = room(length, config.modulus, config.held_out_fraction)
        if held_out < count:
            raise UserError(
                f"data.evaluation_lengths: of length {length} there are {held_out} held-out problems "
                f"to count on, and {count} are wanted; ask for fewer evaluation_problems, {change}"
            )
    taught = {"trace_lengths": config.trace_lengths}
    if config.direct_answers:
        taught["direct_lengths"] = config.direct_lengths
    for name, lengths in taught.items():
        for length in lengths:
            if not room(length, config.modulus, config.held_out_fraction)[1]:
                raise UserError(
                    f"data.{name}: of length {length} all problems are held out for the evaluation; "
                    f"{change}"
                )


@functools.cache
def room(length: int, modulus: int, held_out_fraction: float) -> tuple[int, int]:
    """How many distinct problems of a length can be counted on: held out, and taught.

    Exact for short lengths; for longer ones half the expected number, since the draws get slow as
    the last ones are looked for.
    """
    steps = list(itertools.product(OPERATIONS, range(1, modulus)))
    problems = len(steps) ** length
    if problems > 1000:
        return int(problems * held_out_fraction / 2), int(problems * (1 - held_out_fraction) / 2)
    held_out = sum(
        is_held_out(statement(list(pipeline), modulus), held_out_fraction)
        for pipeline in itertools.product(steps, repeat=length)
    )
    return held_out, problems - held_out


class TinyWorld:
    """The problems and traces of one configuration. The same configuration gives the same world.

    Draws go on until they find what is asked for: `check_room` says whether it is there.
    """

    def __init__(self, config: TinyConfig) -> None:
        self.config = config

    def evaluation_problems(self) -> list[Problem]:
        """Distinct held-out problems, spread evenly over the evaluation lengths."""
        config, rng = self.config, self._rng("evaluation")
        lengths = config.evaluation_lengths
        problems: dict[str, Problem] = {}
        for index in range(config.evaluation_problems):
            length = lengths[index % len(lengths)]
            while True:
                steps = self._draw_steps(length, rng, held_out=True)
                problem = self._problem(steps)
                if problem.statement not in problems:
                    problems[problem.statement] = problem
                    break
        return list(problems.values())

    def traces(self) -> tuple[list[Problem], list[Trace]]:
        """The teacher's pool: `pool_traces` traces and their problems, `correct` not yet known."""
        config, rng = self.config, self._rng("traces")
        count = config.pool_traces
        # Exact numbers per length and of slips, so that a plan can tell what the pool holds.
        lengths = [config.trace_lengths[i % len(config.trace_lengths)] for i in range(count)]
        slips = [i < config.slips for i in range(count)]
        rng.shuffle(lengths)
        rng.shuffle(slips)
        problems: dict[str, Problem] = {}
        traces = []
        for index, (length, slipping) in enumerate(zip(lengths, slips, strict=True)):
            steps = self._draw_steps(length, rng, held_out=False)
            slip_at = rng.randrange(len(steps)) if slipping else None
            thought, a, b = think(steps, config.modulus, slip_at, rng)
            problem = self._problem(steps)
            problems.setdefault(problem.id, problem)
            traces.append(
                Trace(
                    id=f"{problem.id}/{index}",
                    problem_id=problem.id,
                    thinking=thought,
                    answer=program(a, b, config.modulus),
                    difficulty=problem.difficulty,
                    teacher="tiny",
                )
            )
        return list(problems.values()), traces

    def direct_answers(self) -> Iterator[tuple[str, str]]:
        """Yield (statement, answer) pairs without a thought, all right, for the first student."""
        config, rng = self.config, self._rng("direct")
        for _ in range(config.direct_answers):
            steps = self._draw_steps(rng.choice(config.direct_lengths), rng, held_out=False)
            _, a, b = think(steps, config.modulus, None, rng)
            yield statement(steps, config.modulus), program(a, b, config.modulus)

    def _rng(self, purpose: str) -> random.Random:
        # A string seed is hashed by sha512, so the draws are the same on every machine and version.
        return random.Random(f"valley.tiny/1:{self.config.data_seed}:{purpose}")

    def _draw_steps(self, length: int, rng: random.Random, *, held_out: bool) -> list[Step]:
        config = self.config
        while True:
            steps = [
                (rng.choice(OPERATIONS), rng.randrange(1, config.modulus)) for _ in range(length)
            ]
            text = statement(steps, config.modulus)
            if is_held_out(text, config.held_out_fraction) == held_out:
                return steps

    def _problem(self, steps: list[Step]) -> Problem:
        config = self.config
        text = statement(steps, config.modulus)
        identity = hashlib.sha256(text.encode()).hexdigest()[:16]
        _, a, b = think(steps, config.modulus, None, random.Random(0))
        rng = random.Random(f"{identity}:tests")
        # 0 and 1 alone tell every pair of coefficients apart; the third catches programs that are
        # not of the closed form.
        inputs = [0, 1, *rng.sample(range(2, 1000), TESTS_PER_PROBLEM - 2)]
        return Problem(
            id=f"tiny-{identity}",
            source="tiny",
            statement=text,
            tests=[
                {"input": f"{x}\n", "output": f"{(a * x + b) % config.modulus}\n"} for x in inputs
            ],
            time_limit_s=2.0,
            memory_limit_mib=256,
            difficulty=self._difficulty(len(steps)),
        )

    def _difficulty(self, length: int) -> str:
        if length in self.config.easy_lengths:
            return "easy"
        return "hard" if length in self.config.hard_lengths else "medium"
