from __future__ import annotations

import json
from pathlib import Path

import pytest

from valley.errors import UserError
from valley.sweep import read_grid
from valley.trail import trail

BASE = """
name: test
students:
  tiny: {source: tiny}
  other: {source: tiny, layers: 2}
data: {source: tiny, pool_traces: 1000}
train: {batch_size: 16, epochs: 4}
stages: {1: {}, 2: {from: {size: 64}}, 3: {from: {size: 32}}}
"""


@pytest.fixture
def load(spaced):
    def load(grid, when="[]", *more):
        path = spaced / "grid.yaml"
        path.write_text(f"{BASE}grid:\n  {grid}\nwhen: {when}\n")
        return read_grid(path, list(more))

    return load


def labels(grid):
    return [cell.label for cell in grid.cells]


def chain(cell):
    """The learning rates from a cell back to the student."""
    rates = []
    while cell is not None:
        rates.append(cell.recipe.train.learning_rate)
        cell = cell.start
    return rates


def test_a_cell_that_spells_a_default_out_is_the_plain_one(load):
    plain = load("[{size: [8, 16]}]")
    for grid in (
        "[{size: [8, 16], train.epochs: 4}]",
        "[{size: [8, 16], train.epochs: [4.0, 4]}]",
        "[{size: [8, 16], train.steps: null, data.data_seed: 0}]",
        "[{size: [8, 16], train.epochs: 4}, {size: [8, 16]}]",
        "[{size: [8, 16]}, {size: [8, 16], train.epochs: 4, generate.batch_size: 64}]",
        "[{size: 8}, {size: 16, generate.profiles: [{greedy: {}}]}]",
    ):
        assert labels(load(grid)) == labels(plain)
        assert [list(cell.axes) for cell in load(grid).cells] == [
            list(cell.axes) for cell in plain.cells
        ]


def test_equal_values_that_are_spelled_apart_are_one(load):
    assert labels(load("[{size: 8, train.epochs: [3, 3.0, 5]}]")) == [
        "tiny-t1-n8-train.epochs=3-seed0",
        "tiny-t1-n8-train.epochs=5-seed0",
    ]


def test_axes_that_only_do_together_are_kept(load):
    grid = load("[{size: 8, grade.k: [[1, 4]], generate.profiles.greedy.samples: 4}]")
    assert list(grid.cells[0].axes)[-2:] == ["generate.profiles.greedy.samples", "grade.k"]
    when = """[{if: {size: 8}, set: {train.epochs: 2}}, {if: {seed: 0}, set: {train.epochs: 3}}]"""
    assert load("[{size: 8, train.epochs: 4}]", when).cells[0].recipe.train.epochs == 4


def test_every_cell_has_a_value_on_every_axis_that_some_cell_varies(load):
    grid = load(
        "[{size: [0, 8]}, {size: 8, train.learning_rate: [1e-4]}, {size: 8, train.steps: 9}]"
    )
    assert [cell.axes.get("train.learning_rate") for cell in grid.cells] == [None, 8e-5, 1e-4, 8e-5]
    # Without a number of steps of its own, a training goes by epochs.
    assert [cell.axes.get("train.steps") for cell in grid.cells] == [None, None, None, 9]
    assert labels(grid)[1:3] == ["tiny-t1-n8-seed0", "tiny-t1-n8-train.learning_rate=0.0001-seed0"]


def test_steps_derived_from_a_size(load):
    grid = load("[{size: [8, 16, 64], train.steps: [null, {matching_size: 64}]}]")
    assert labels(grid) == [
        "tiny-t1-n8-seed0",
        "tiny-t1-n8-train.steps=16-seed0",
        "tiny-t1-n16-seed0",
        "tiny-t1-n16-train.steps=16-seed0",
        "tiny-t1-n64-seed0",
    ]
    assert [cell.recipe.train.total_steps(cell.axes["size"]) for cell in grid.cells] == [
        2,
        16,
        4,
        16,
        16,
    ]
    assert [cell.axes.get("train.steps") for cell in grid.cells] == [None, 16, None, 16, None]


def test_derived_steps_go_by_the_cells_own_epochs_and_batch(load):
    grid = load(
        "[{size: 8, train.epochs: [4, 8], train.batch_size: [8, 16], train.steps: {matching_size: 64}}]"
    )
    steps = {cell.axes["train.batch_size"]: set() for cell in grid.cells}
    for cell in grid.cells:
        steps[cell.axes["train.batch_size"]].add(cell.axes["train.steps"])
        assert "train.epochs" not in cell.axes
    assert steps == {8: {32, 64}, 16: {16, 32}}


def test_derived_steps_and_the_same_number_are_one_cell(load):
    grid = "[{size: 8, train.steps: [16, {matching_size: 64}]}, {size: 0, train.steps: 16}]"
    assert labels(load(grid)) == ["tiny-t1-n8-train.steps=16-seed0", "tiny-t1-n0-seed0"]


def test_steps_cannot_be_derived_where_epochs_do_not_count(load):
    with pytest.raises(UserError, match=r"grid\[0\]\.train\.steps: matching_size counts steps by"):
        load("[{size: 8, train.steps: {matching_size: 64}}]", "[]", "train.steps=7")


def test_a_setting_by_condition(load):
    grid = load(
        "[{size: [8, 16], seed: [0, 1]}]",
        "[{if: {size: [16, 99], seed: 1}, set: {train.learning_rate: 4e-5}}]",
    )
    rates = {(c.axes["size"], c.axes["seed"]): c.recipe.train.learning_rate for c in grid.cells}
    assert rates == {(8, 0): 8e-5, (8, 1): 8e-5, (16, 0): 8e-5, (16, 1): 4e-5}
    assert not grid.warnings and all("learning" not in label for label in labels(grid))


def test_an_axis_of_the_cell_goes_before_a_condition(load):
    when = "[{if: {size: 8}, set: {train.learning_rate: 4e-5, generate.profiles: {cold: {samples: 2}}}}]"
    grid = load("[{size: 8, train.learning_rate: [8e-5, 4e-5, 1e-4]}]", when)
    assert [c.recipe.train.learning_rate for c in grid.cells] == [8e-5, 4e-5, 1e-4]
    assert labels(grid)[1] == "tiny-t1-n8-seed0"  # what the condition gives anyway
    grid = load("[{size: 8, generate.profiles.cold.samples: 3}]", when)
    assert grid.cells[0].recipe.generate.profiles["cold"].samples == 3
    inner = "[{if: {size: 8}, set: {generate.profiles.greedy.samples: 9}}]"
    grid = load("[{size: 8, generate.profiles: [{greedy: {samples: 3}}]}]", inner)
    assert grid.cells[0].recipe.generate.profiles["greedy"].samples == 3


def test_a_condition_may_be_on_a_setting(load):
    grid = load(
        "[{size: 8, train.batch_size: [8, 16, 32]}]",
        "[{if: {train.batch_size: [16, 32]}, set: {train.learning_rate: 4e-5}}]",
    )
    assert [c.recipe.train.learning_rate for c in grid.cells] == [8e-5, 4e-5, 4e-5]


def test_a_condition_may_derive_steps_and_set_how_a_job_runs(load):
    grid = load(
        "[{size: [8, 16, 64]}]",
        "[{if: {size: [8, 16, 64]}, set: {train.steps: {matching_size: 64}, train.zero_stage: 2}}]",
    )
    assert [c.recipe.train.total_steps(c.axes["size"]) for c in grid.cells] == [16, 16, 16]
    assert {c.recipe.train.zero_stage for c in grid.cells} == {2}


def test_a_stage_starts_from_its_parents_own_recipe(load):
    when = """[{if: {size: 64}, set: {train.learning_rate: 1e-5}},
               {if: {stage: 2, size: 32}, set: {train.learning_rate: 2e-5}},
               {if: {stage: 3}, set: {train.learning_rate: 3e-5}}]"""
    grid = load(
        "[{stage: [1, 2, 3], size: [8, 64]}]",
        when.replace("{size: 64}", "{size: 64, stage: [1, 2]}"),
    )
    found = {(c.axes["stage"], c.axes["size"]): chain(c) for c in grid.cells}
    assert found == {
        (1, 8): [8e-5],
        (1, 64): [1e-5],
        (2, 8): [8e-5, 1e-5],
        (2, 64): [1e-5, 1e-5],
        (3, 8): [3e-5, 2e-5, 1e-5],
        (3, 64): [3e-5, 2e-5, 1e-5],
    }
    jobs = trail(grid.sweep, grid.cells)
    trained = {(r.cell.axes["stage"], r.cell.axes["size"]): r.train for r in jobs.rows}
    assert trained[2, 8].inputs["init"] is trained[1, 64]


def test_a_controls_own_training_axes_are_not_its_parents(load):
    grid = load("[{stage: 2, size: 8, train.learning_rate: [1e-5], data.data_seed: 3}]")
    assert chain(grid.cells[0]) == [1e-5, 8e-5]
    assert grid.cells[0].start.recipe.data.data_seed == 3


def test_cells_whose_parents_differ_are_two(load):
    grid = load(
        "[{stage: 2, size: 8, data.data_seed: [0, 1]}, {stage: 2, size: 16, data.data_seed: 1}]",
        "[{if: {stage: 2, size: 16}, set: {data.data_seed: 1}}]",
    )
    seeds = {c.label: (c.recipe.data.data_seed, c.start.recipe.data.data_seed) for c in grid.cells}
    assert seeds["tiny-t2-n16-data.data_seed=1-seed0"] == (1, 1)
    grid = load("[{stage: 2, size: 16}]", "[{if: {stage: 2}, set: {data.data_seed: 1}}]")
    assert [grid.cells[0].recipe.data.data_seed, grid.cells[0].start.recipe.data.data_seed] == [
        1,
        0,
    ]


def test_a_condition_that_holds_for_no_cell_is_a_warning(load):
    grid = load("[{stage: 2, size: 8}]", "[{if: {size: 64}, set: {train.epochs: 1}}]")
    assert not grid.warnings  # of the parent it does
    grid = load("[{size: 8}]", "[{if: {size: 64}, set: {train.epochs: 1}}]")
    assert [w.partition(": ")[2] for w in grid.warnings] == ["when[0]: holds for no cell"]


def test_a_baseline_is_one_whatever_would_be_trained(load):
    when = "[{if: {student: [tiny, other]}, set: {train.epochs: 9}}]"
    grid = load("[{size: 0, seed: [0, 1]}, {size: [0, 8], train.epochs: [1, 2]}]", when)
    assert sum(cell.is_baseline for cell in grid.cells) == 1 and len(grid.cells) == 3


BAD = {
    "no list": ("{size: 3}", r"when: found a mapping; expected a list"),
    "unknown key": ("[{iff: {size: 8}, set: {train.epochs: 1}}]", r"when\[0\]\.iff: unknown key"),
    "no settings": ("[{if: {size: 8}}]", r"when\[0\]\.set: missing"),
    "empty condition": ("[{if: {}, set: {train.epochs: 1}}]", r"when\[0\]\.if: "),
    "unknown axis": (
        "[{if: {sise: 8}, set: {train.epochs: 1}}]",
        r"line 11: when\[0\]\.if\.sise: unknown axis; .*; did you mean size\?",
    ),
    "unknown setting as condition": (
        "[{if: {train.epoks: 8}, set: {train.epochs: 1}}]",
        r"when\[0\]\.if\.train\.epoks: there is no such setting",
    ),
    "bad value of a condition": (
        "[{if: {difficulty: simple}, set: {train.epochs: 1}}]",
        r"when\[0\]\.if\.difficulty: found 'simple'; expected one of all, easy",
    ),
    "axis as setting": (
        "[{if: {size: 8}, set: {seed: 1}}]",
        r"when\[0\]\.set\.seed: no setting of a cell; expected a dotted one of data, chat, train",
    ),
    "unknown setting": (
        "[{if: {size: 8}, set: {train.epocs: 1}}]",
        r"line 11: when\[0\]\.set\.train\.epocs: unknown key; did you mean epochs\?",
    ),
    "bad setting": (
        "[{if: {size: 8}, set: {train.epochs: -1}}]",
        r"line 11: when\[0\]\.set\.train\.epochs: found -1; expected a number greater than 0",
    ),
    "two for one field": (
        "[{if: {size: 8}, set: {train.epochs: 1}}, {if: {seed: 0}, set: {train.epochs: 1}}]",
        r"when\[1\]\.set\.train\.epochs: when\[0\] sets train\.epochs of the same cells; make the",
    ),
    "two for one field and a part of it": (
        "[{if: {size: 8}, set: {generate.profiles.greedy.samples: 3}}, "
        "{if: {seed: 0}, set: {generate.profiles: {greedy: {}}}}]",
        r"when\[1\]\.set\.generate\.profiles: when\[0\] sets generate\.profiles\.greedy\.samples",
    ),
    "a bad size to derive from": (
        "[{if: {size: 8}, set: {train.steps: {matching_size: x}}}]",
        r"when\[0\]\.set\.train\.steps: found .*; expected \{matching_size: SIZE\}",
    ),
    "a batch that cannot feed the ranks": (
        "[{if: {size: 8}, set: {train.batch_size: 5}}]",
        r"when\[0\]\.set\.train\.batch_size: train\.batch_size 5 cannot feed 6 ranks",
    ),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_a_fault_of_a_condition_is_named(load, case):
    when, message = case
    with pytest.raises(UserError, match=message) as fault:
        load("[{size: [8, 16]}]", when, "train.batch_size=12", "resources.train.tasks_per_node=6")
    assert "\n" not in str(fault.value)


def test_two_conditions_may_set_a_field_of_different_cells(load):
    when = "[{if: {size: 8}, set: {train.epochs: 1}}, {if: {size: 16}, set: {train.epochs: 2}}]"
    assert [c.recipe.train.epochs for c in load("[{size: [8, 16]}]", when).cells] == [1, 2]


def test_a_sweep_as_it_is_written_down_is_the_same_grid(load, spaced):
    grid = load(
        "[{zip: {size: [8, 16], seed: [1, 2]}, exclude: [{size: 8, reason: small}], include: [{size: 64}]}]",
        "[{if: {size: 16}, set: {train.epochs: 2}}]",
    )
    again = spaced / "again.yaml"
    again.write_text(json.dumps(grid.sweep.model_dump(mode="json", by_alias=True)))
    copy = read_grid(again)
    assert labels(copy) == labels(grid) and copy.left_out == grid.left_out
    assert [c.recipe for c in copy.cells] == [c.recipe for c in grid.cells]


# Of jobs that were made before a grid could say more than products: results in stores rest on these.
IDENTITIES = {
    "tiny-t1-n128-train.steps=1280-seed0": "a9d04a85d42cc2c3",
    "tiny-t1-n256-train.steps=1280-seed0": "05a02557d92289e7",
    "tiny-t1-n512-easy-seed0": "2045eaa0a9980ec1",
    "tiny-t2-n512-easy-seed0": "9dda7b858952e6f9",
}


def test_the_identities_of_the_default_grid_stay(spaced):
    path = Path(__file__).parent.parent / "sweeps" / "grid.yaml"
    grid = read_grid(path)
    jobs = {
        j.label: j.identity[:16] for j in trail(grid.sweep, grid.cells).jobs if j.kind == "train"
    }
    assert IDENTITIES.items() <= jobs.items()
