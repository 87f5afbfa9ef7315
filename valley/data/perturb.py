"""Perturbed traces: the controls that ask what of a trace teaches, its content or its structure.

    answer_corrupted   one number or sign of the program is another; the thought stays as it was
    steps_shuffled     the thought's steps stand in another order
    steps_deleted      a part of the thought's steps is left out

Steps are paragraphs, or lines where the thought has fewer than two paragraphs. What is done to a trace
rests on its id and `data_seed` alone: it is the same in every set that holds the trace.
"""

from __future__ import annotations

import random
import re
from dataclasses import replace

from valley.data.selection_config import PerturbConfig
from valley.data.traces import Trace

FENCED = re.compile(r"(```[^\n]*\n)(.*?)(\n?```)", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])\d+(?![\w.])")
# Each sign beside what it becomes; the longer first, so that `<=` is not taken for `<`.
SIGNS = {"<=": ">", ">=": "<", "==": "!=", "!=": "==", "<": ">=", ">": "<=", "+": "-", "-": "+"}
SIGN = re.compile("|".join(rf"(?<=[\w)\] ]){re.escape(sign)}(?=[\w(\[ ])" for sign in SIGNS))


def perturbed(trace: Trace, config: PerturbConfig, data_seed: int) -> Trace:
    """The trace as it is taught: itself, if it is not among the share or there is nothing to change."""
    rng = random.Random(f"valley.perturb/1:{config.kind}:{data_seed}:{trace.id}")
    if rng.random() >= config.share:
        return trace
    if config.kind == "answer_corrupted":
        return replace(trace, answer=corrupted(trace.answer, rng))
    steps, joint = _steps(trace.thinking)
    if config.kind == "steps_shuffled":
        steps = _shuffled(steps, rng)
    else:
        gone = set(rng.sample(range(len(steps)), int(config.fraction * len(steps) + 0.5)))
        steps = [step for number, step in enumerate(steps) if number not in gone]
    return replace(trace, thinking=joint.join(steps))


def corrupted(answer: str, rng: random.Random) -> str:
    """An answer whose program has another number; without numbers, another sign; without any, a line less.

    It is the last program of the answer, as that is the one which is graded.
    """
    programs = list(FENCED.finditer(answer))
    begin, end = programs[-1].span(2) if programs else (0, len(answer))
    code = answer[begin:end]
    if numbers := list(NUMBER.finditer(code)):
        chosen = rng.choice(numbers)
        other = str(_another(chosen[0], rng))
    elif signs := list(SIGN.finditer(code)):
        chosen = rng.choice(signs)
        other = SIGNS[chosen[0]]
    else:
        return answer[:begin] + code.rstrip().rpartition("\n")[0] + answer[end:]
    return answer[:begin] + code[: chosen.start()] + other + code[chosen.end() :] + answer[end:]


def _another(digits: str, rng: random.Random) -> int:
    """Another number of as many digits or so."""
    number, most = int(digits[:18]), int(10 ** min(len(digits), 18))
    return (number + rng.randrange(1, most)) % most


def _steps(thinking: str) -> tuple[list[str], str]:
    """The steps of a thought, and what stood between them."""
    paragraphs = [part for part in re.split(r"\n\s*\n", thinking) if part.strip()]
    if len(paragraphs) > 1:
        return paragraphs, "\n\n"
    return [line for line in thinking.split("\n") if line.strip()], "\n"


def _shuffled(steps: list[str], rng: random.Random) -> list[str]:
    """Another order, where there is one that reads otherwise."""
    order = list(steps)
    if len(set(steps)) > 1:
        while order == steps:
            rng.shuffle(order)
    return order
