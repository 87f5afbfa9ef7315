from __future__ import annotations

import re

import pytest

from valley.data.config import TinyConfig
from valley.data.prepared import check_disjoint, write_evaluation, write_pool
from valley.data.render import instruction
from valley.data.sources.tiny import (
    TinyWorld,
    apply_step,
    is_held_out,
    program,
    room,
    statement,
    think,
)
from valley.errors import UserError
from valley.evaluate.config import GradeConfig

SMALL = TinyConfig(evaluation_problems=100, pool_traces=500, direct_answers=3000)


def run_closed_form(answer: str, x: int) -> int:
    """What the answer's program prints for x, by reading its three numbers."""
    match = re.fullmatch(
        r"```python\nprint\(\((\d) \* int\(input\(\)\) \+ (\d)\) % (\d+)\)\n```", answer
    )
    a, b, modulus = map(int, match.groups())
    return (a * x + b) % modulus


def test_no_evaluation_problem_is_in_any_training_set():
    world = TinyWorld(TinyConfig(direct_answers=20000))
    evaluation = world.evaluation_problems()
    problems, _ = world.traces()
    held_out = {instruction(problem) for problem in evaluation}
    assert len(held_out) == len(evaluation) == 300
    assert not held_out & {instruction(problem) for problem in problems}
    assert not held_out & {prompt for prompt, _ in world.direct_answers()}


def test_a_shared_problem_is_refused(spaced):
    world = TinyWorld(SMALL)
    evaluation, (problems, _) = world.evaluation_problems(), world.traces()

    def check(name, asked, lessons):
        for part in ("asked", "taught"):
            (spaced / name / part).mkdir(parents=True)
        write_evaluation(spaced / name / "asked", asked)
        write_pool(spaced / name / "taught", problems, [], lessons, GradeConfig(), 1)
        return check_disjoint(spaced / name / "asked", spaced / name / "taught")

    compared = check("apart", evaluation, list(world.direct_answers()))
    assert compared["evaluation_problems"] == 100 and compared["training_texts"] > 500
    with pytest.raises(UserError, match="1 evaluation problems are among the training ones"):
        check("problem", [problems[3]], list(world.direct_answers()))
    with pytest.raises(
        UserError, match=r"^7 .* \((\S+, ){5}…\); .* `data.clean: {decontaminate: {}}`"
    ):
        check("problems", problems[:7], list(world.direct_answers()))
    with pytest.raises(UserError, match="one of the first lessons"):
        check("lesson", evaluation, [(instruction(evaluation[5]), "")])
    with pytest.raises(UserError, match="stands there twice"):
        check("twice", [*evaluation, evaluation[0]], [])


def test_held_out_side_depends_on_the_statement_alone():
    worlds = [TinyWorld(TinyConfig(data_seed=seed, evaluation_problems=100)) for seed in (0, 1)]
    for world in worlds:
        assert all(is_held_out(p.statement, 0.2) for p in world.evaluation_problems())
        assert not any(is_held_out(p.statement, 0.2) for p in world.traces()[0])


def test_the_same_configuration_gives_the_same_world():
    first, second = TinyWorld(SMALL), TinyWorld(SMALL)
    assert first.evaluation_problems() == second.evaluation_problems()
    assert first.traces() == second.traces()
    assert list(first.direct_answers()) == list(second.direct_answers())
    other = TinyWorld(SMALL.model_copy(update={"data_seed": 1}))
    assert first.traces() != other.traces()


def test_problems_state_their_tests():
    """The expected outputs are those of the steps in the statement, worked one by one."""
    for problem in TinyWorld(SMALL).evaluation_problems()[:25]:
        words = problem.statement.removeprefix("Read an integer x, ")
        steps = words.split(", and print")[0].split(", ")
        for test in problem.tests:
            value = int(test["input"])
            for step in steps:
                operation, _, operand = step.rpartition(" ")
                match operation:
                    case "add":
                        value += int(operand)
                    case "subtract":
                        value -= int(operand)
                    case "multiply by":
                        value *= int(operand)
                    case _:
                        raise AssertionError(step)
            assert str(value % 10) == test["output"].strip()


def test_a_slip_reaches_the_program():
    import random

    steps = [("add", 3), ("multiply by", 7), ("subtract", 1)]
    right, a, b = think(steps, 10, None, random.Random(0))
    assert (a, b) == (7, 0)
    assert right.splitlines() == ["add 3: 1 3", "multiply by 7: 7 1", "subtract 1: 7 0"]
    wrong, c, d = think(steps, 10, 2, random.Random(0))
    assert wrong.splitlines()[:2] == right.splitlines()[:2]
    assert (c, d) != (a, b)
    assert apply_step(("multiply by", 5), 7, 1, 10) == (5, 5)
    assert run_closed_form(program(7, 4, 10), 3) == 5


def test_the_pool_holds_exactly_what_the_plan_may_count_on():
    _, traces = TinyWorld(SMALL).traces()
    for difficulty in ("all", "easy", "medium", "hard"):
        held = sum(difficulty in ("all", trace.difficulty) for trace in traces)
        assert held == SMALL.pool_limit(difficulty, "all")
    assert SMALL.pool_limit("all", "incorrect") == 50


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"evaluation_lengths": [1, 2]},
            r"data\.evaluation_lengths: of length 1 there are 6 held-out problems .* 150 are wanted",
        ),
        (
            {"modulus": 2, "evaluation_lengths": [4], "evaluation_problems": 16},
            "of length 4 there are 15 held-out problems .* 16 are wanted; ask for fewer",
        ),
        (
            {
                "held_out_fraction": 0.99,
                "evaluation_lengths": [3],
                "trace_lengths": [1],
                "direct_answers": 0,
            },
            r"data\.trace_lengths: of length 1 all problems are held out",
        ),
        (
            {"held_out_fraction": 0.99, "evaluation_lengths": [3], "trace_lengths": [4]},
            r"data\.direct_lengths: of length 1 all problems are held out",
        ),
    ],
)
def test_lengths_with_too_few_problems_are_refused_without_making_the_world(settings, message):
    with pytest.raises(UserError, match=message):
        TinyConfig(**settings).check()


def test_room_is_exact_for_short_lengths_and_can_be_drawn():
    """All of the world's short held-out problems are drawn, and not one more is promised."""
    held_out, taught = room(1, 10, 0.2)
    assert (held_out, taught) == (6, 21)
    config = TinyConfig(evaluation_lengths=[1], evaluation_problems=held_out)
    config.check()
    assert len(TinyWorld(config).evaluation_problems()) == held_out
    with pytest.raises(UserError, match="7 are wanted"):
        config.model_copy(update={"evaluation_problems": held_out + 1}).check()


def test_no_check_of_evaluation_lengths_that_are_not_reached():
    TinyConfig(evaluation_lengths=[2, 1], evaluation_problems=1).check()


def test_statement():
    assert statement([("add", 3), ("multiply by", 2)], 10) == (
        "Read an integer x, add 3, multiply by 2, and print the result modulo 10."
    )
