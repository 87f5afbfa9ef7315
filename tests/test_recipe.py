from __future__ import annotations

import pytest

from valley.errors import UserError
from valley.sweep import load_sweep

GRID = """
name: test
students:
  tiny: {source: tiny}
data: {source: tiny}
train: {batch_size: 16, micro_batch_size: 8}
generate: {profiles: {greedy: {}, drawn: {samples: 8, temperature: 1.0}}}
stages: {1: {}, 2: {from: {size: 64}}}
grid:
"""
LESSONS = "students.tiny.first_lessons={batch_size: 16}"


def load(folder, block, *settings):
    (folder / "grid.yaml").write_text(f"{GRID}  - {block}\n")
    return load_sweep(folder / "grid.yaml", list(settings))


def test_cells_that_agree_in_a_section_share_it(spaced):
    block = "{size: [8, 16], train.steps: [5, 6], data.data_seed: [0, 1], seed: [0, 1]}"
    sweep, cells = load(spaced, block)
    assert len(cells) == 16
    for section, distinct in {"train": 2, "data": 2, "generate": 1}.items():
        assert len({id(getattr(cell.recipe, section)) for cell in cells}) == distinct
    assert len({id(cell.recipe) for cell in cells}) == 4
    assert cells[0].recipe.grade is sweep.grade


def test_a_nested_setting_is_an_axis(spaced):
    _, cells = load(spaced, "{size: 8, generate.profiles.drawn.samples: [4, 9]}")
    assert [cell.recipe.generate.profiles["drawn"].samples for cell in cells] == [4, 9]
    assert all(cell.recipe.generate.profiles["greedy"].samples == 1 for cell in cells)


def test_more_samples_for_a_pass_rate_than_a_profile_draws_are_refused(spaced):
    message = (
        r"pass@4 needs 4 samples, and the profile 'greedy' draws 1; raise generate\.profiles\.gr"
    )
    with pytest.raises(UserError, match=rf"^--set grade\.k=\[1, 4\]: grade\.k: {message}"):
        load(spaced, "{size: 8}", "grade.k=[1, 4]")
    with pytest.raises(UserError, match=rf"line 10: grid\[0\]\.grade\.k: {message}"):
        load(spaced, "{size: 8, grade.k: [[1, 4]]}")
    with pytest.raises(UserError, match="the profile 'drawn' draws 3"):
        load(
            spaced,
            "{size: 8, generate.profiles.drawn.samples: [4, 3]}",
            "grade.k=[4]",
            "generate.profiles.greedy.samples=4",
        )
    load(spaced, "{size: 8}", "grade.k=[1, 4]", "generate.profiles.greedy.samples=4")


def test_a_world_without_room_is_refused_before_anything_is_made(spaced):
    with pytest.raises(
        UserError, match=r"line 5: data: data\.evaluation_lengths: of length 1 there"
    ):
        load(
            spaced,
            "{size: 8, data.evaluation_problems: [300]}",
            "data.modulus=10",
            "data.evaluation_lengths=[1, 2]",
        )
    with pytest.raises(UserError, match=r"are held-out|held-out problems"):
        load(spaced, "{size: 8, data.modulus: [10, 2]}")


@pytest.mark.parametrize(
    ("block", "settings"),
    [
        ("{size: 8}", ["train.batch_size=5", "resources.train.tasks_per_node=6"]),
        ("{size: 8}", ["train.batch_size=5", "resources.train.nodes=6"]),
        ("{size: 8, train.batch_size: [6, 5]}", ["resources.train.tasks_per_node=6"]),
        # 7 examples for 4 ranks with 1 at a time: 2 micro-batches each, which is 8.
        (
            "{size: 8}",
            [
                "train.batch_size=7",
                "train.micro_batch_size=1",
                "resources.train={nodes: 2, tasks_per_node: 2}",
            ],
        ),
        # Only the parent of stage 2 has the recipe's batch size.
        (
            "{size: 8, stage: 2, train.batch_size: 6}",
            ["train.batch_size=5", "resources.train.nodes=6"],
        ),
        ("{size: 8}", ["resources.train.nodes=6", LESSONS.replace("16", "5")]),
    ],
)
def test_a_batch_that_cannot_feed_the_ranks_is_refused(spaced, block, settings):
    with pytest.raises(UserError, match=r"batch_size \d cannot feed \d ranks"):
        load(spaced, block, *settings)


@pytest.mark.parametrize(
    ("more", "train", "message"),
    [
        ("micro_batch_size: 1", "micro_batch_tokens=64", "micro_batch_size is of no effect where"),
        ("micro_batch_tokens: 64", "layout=padded", "layout cannot be padded"),
        ("micro_batch_tokens: 64", "packing=epoch", "of no effect with packing: epoch"),
        ("micro_batch_tokens: 64", "batch_size=7", "cannot be shared evenly by 2 ranks"),
    ],
)
def test_what_a_training_could_not_be_run_with_after_running_out_of_memory(
    spaced, more, train, message
):
    settings = [
        f"resources.train={{nodes: 2, on_out_of_memory: {{{more}}}}}",
        f"train.{train}",
    ]
    with pytest.raises(UserError, match=rf"resources\.train\.on_out_of_memory.*{message}"):
        load(spaced, "{size: 8}", *settings)
    load(spaced, "{size: 8}", settings[0])


def test_a_batch_that_feeds_the_ranks_unevenly_is_not_refused(spaced):
    load(spaced, "{size: 8}", "train.batch_size=7", "resources.train.nodes=2")


def test_first_lessons_without_answers_are_refused(spaced):
    load(spaced, "{size: 8}", LESSONS)
    load(spaced, "{size: 8}", "data.direct_answers=0")
    message = (
        r"students\.tiny\.first_lessons: the data of cell .* has no direct answers to learn from"
    )
    for block, *settings in (
        ("{size: 8}", "data.direct_answers=0"),
        ("{size: 0}", "data={source: packages}"),
        ("{size: 8, data.direct_answers: [9, 0]}",),
    ):
        with pytest.raises(UserError, match=message):
            load(spaced, block, LESSONS, *settings)


def test_a_raw_key_that_contradicts_a_setting_is_named_once(spaced):
    for setting in ("train.deepspeed", "students.tiny.first_lessons.deepspeed"):
        with pytest.raises(UserError) as fault:
            load(spaced, "{size: 8}", f"{setting}={{train_batch_size: 7}}")
        assert f": {setting}.train_batch_size is 7, and train.batch_size makes it" in str(
            fault.value
        )
