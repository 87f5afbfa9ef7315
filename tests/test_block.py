from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from valley.errors import UserError
from valley.sweep import read_grid

BASE = """
name: test
students:
  tiny: {source: tiny}
data: {source: tiny, pool_traces: 1000}
train: {batch_size: 16}
stages: {1: {}, 2: {from: {size: 64}}}
grid:
"""


@pytest.fixture
def load(spaced):
    def load(block, *more):
        path = spaced / "grid.yaml"
        path.write_text(f"{BASE}  - {block}\n")
        return read_grid(path, list(more))

    return load


def points(grid, *names):
    return [tuple(cell.axes.get(name) for name in names) for cell in grid.cells]


def test_a_zip_moves_axes_together(load):
    grid = load("{seed: [0, 1], zip: {size: [8, 16], train.learning_rate: [1e-3, 2e-3]}}")
    assert points(grid, "size", "train.learning_rate", "seed") == [
        (8, 1e-3, 0),
        (8, 1e-3, 1),
        (16, 2e-3, 0),
        (16, 2e-3, 1),
    ]


def test_several_zips_multiply(load):
    block = """{zip: [{size: [8, 16], seed: {range: [3, 5]}},
               {difficulty: [easy, hard], correctness: [correct, incorrect]}]}"""
    assert points(load(block), "size", "seed", "difficulty", "correctness") == [
        (8, 3, "easy", "correct"),
        (8, 3, "hard", "incorrect"),
        (16, 4, "easy", "correct"),
        (16, 4, "hard", "incorrect"),
    ]


def test_the_axes_of_a_cell_keep_their_order(load):
    grid = load("{zip: {train.steps: [3], size: [8], data.data_seed: [1]}, student: tiny}")
    assert list(grid.cells[0].axes) == [
        "student",
        "stage",
        "size",
        "difficulty",
        "correctness",
        "seed",
        "data.data_seed",
        "train.steps",
    ]


def test_what_is_excluded_is_left_out_and_told(load):
    grid = load(
        "{size: [8, 16, 32], seed: [0, 1, 2], exclude: ["
        "{size: 32, seed: [1, 2], reason: one seed is enough there}, {seed: {range: [2, 9]}}]}"
    )
    assert points(grid, "size", "seed") == [(8, 0), (8, 1), (16, 0), (16, 1), (32, 0)]
    assert grid.left_out[0] == "2 cells left out (size=32 seed=1,2): one seed is enough there"
    assert grid.left_out[1].startswith("3 cells left out (seed=2,3,…,8): ")
    assert grid.left_out[1].endswith("line 9: grid[0].exclude[1]") and not grid.warnings


def test_baselines_that_are_left_out_count_as_the_one_that_they_are(load):
    grid = load("{size: [0, 8], seed: [0, 1, 2], exclude: [{size: 0}]}")
    assert grid.left_out[0].startswith("1 cell left out (size=0): ")


def test_an_exclusion_that_leaves_out_nothing_is_a_warning(load):
    grid = load("{size: [8, 16], exclude: [{size: 32}]}")
    assert len(grid.cells) == 2 and not grid.left_out
    assert [warning.partition(": ")[2] for warning in grid.warnings] == [
        "grid[0].exclude[0]: leaves out nothing: no cell has size=32"
    ]
    # A sweep that is narrowed on the command line can still be launched.
    assert load("{size: [8, 16], exclude: [{size: 16}]}", "size=8").warnings


def test_what_is_included_is_filled_from_the_block(load):
    block = "{stage: 2, seed: [0, 1], size: 8, include: [{size: 16, difficulty: hard}, {seed: 7}]}"
    assert points(load(block), "stage", "size", "difficulty", "seed") == [
        (2, 8, "all", 0),
        (2, 8, "all", 1),
        (2, 16, "hard", 0),
        (2, 8, "all", 7),
    ]


def test_a_block_may_hold_nothing_but_inclusions(load):
    block = "{stage: 2, include: [{size: 16}, {size: 8, train.steps: 5}]}"
    assert points(load(block), "stage", "size", "train.steps") == [(2, 16, None), (2, 8, 5)]


def test_inclusions_alone_have_all_values_of_the_blocks_axes(load):
    block = """{seed: [0, 1], zip: {student: [tiny], difficulty: [hard]},
               include: [{size: 8}, {size: 16, seed: 5}]}"""
    assert points(load(block), "size", "seed", "difficulty") == [
        (8, 0, "hard"),
        (8, 1, "hard"),
        (16, 5, "hard"),
    ]
    assert points(load("{include: [{size: 8}]}", "seed=[3, 4]"), "seed") == [(3,), (4,)]


def test_an_axis_that_moves_with_others_is_not_set_alone(load):
    with pytest.raises(
        UserError, match=r"^--set seed=1: seed moves with other axes in the zip of g"
    ):
        load("{zip: [{size: [8], seed: [0]}]}", "seed=1")


def test_an_exclusion_does_not_touch_inclusions(load):
    block = "{size: [8, 16], exclude: [{size: 16}], include: [{size: 16, seed: 3}]}"
    assert points(load(block), "size", "seed") == [(8, 0), (16, 3)]


BAD = {
    "misspelt key": (
        "{size: 8, exlude: []}",
        r"line 9: grid\[0\]\.exlude: unknown axis; expected .*, or zip, exclude, include; did you mean exclude\?",
    ),
    "zip that is no mapping": ("{zip: 3}", r"grid\[0\]\.zip: found 3; expected a mapping of two"),
    "zip of one axis": ("{zip: {size: [8]}}", r"grid\[0\]\.zip: found a mapping; expected a"),
    "zip of single values": (
        "{zip: {size: 8, seed: 1}}",
        r"grid\[0\]\.zip\.size: found 8; expected a list or a range",
    ),
    "zip of different lengths": (
        "{zip: [{size: [8, 16], seed: [0, 1, 2]}]}",
        r"grid\[0\]\.zip\[0\]: lists of different lengths: size has 2, seed has 3 values",
    ),
    "zip of an unknown axis": (
        "{zip: {size: [8], sed: [1]}}",
        r"grid\[0\]\.zip\.sed: unknown axis; .* did you mean seed\?",
    ),
    "zip inside zip": ("{zip: {size: [8], zip: [1]}}", r"grid\[0\]\.zip\.zip: unknown axis"),
    "zip with a bad value": (
        "{zip: {size: [8, x], seed: [1, 2]}}",
        r"grid\[0\]\.zip\.size: found 'x'; expected a whole number",
    ),
    "axis in zip and product": (
        "{size: 8, zip: {size: [8], seed: [1]}}",
        r"grid\[0\]\.zip\.size: size stands among the block's own axes too; keep one",
    ),
    "axis in two zips": (
        "{size: 8, zip: [{stage: [1], seed: [1]}, {student: [tiny], seed: [1]}]}",
        r"grid\[0\]\.zip\[1\]\.seed: seed stands in another zip too; keep one",
    ),
    "bad setting in a zip": (
        "{zip: {size: [8, 16], train.epochs: [1, -3]}}",
        r"line 9: grid\[0\]\.zip\.train\.epochs: found -3; expected a number greater than 0",
    ),
    "exclude that is no list": (
        "{size: 8, exclude: {size: 8}}",
        r"grid\[0\]\.exclude: found a mapping; expected a list of mappings",
    ),
    "exclude of nothing": ("{size: 8, exclude: [{}]}", r"exclude\[0\]: found \{\}; expected"),
    "exclude without a condition": (
        "{size: 8, exclude: [{reason: none}]}",
        r"grid\[0\]\.exclude\[0\]: no condition; it would leave out every cell",
    ),
    "exclude with an unknown axis": (
        "{size: 8, exclude: [{sise: 8}]}",
        r"grid\[0\]\.exclude\[0\]\.sise: unknown axis; .*, or reason; did you mean size\?",
    ),
    "exclude by an axis that the block has not": (
        "{size: 8, exclude: [{train.steps: 8}]}",
        r"grid\[0\]\.exclude\[0\]\.train\.steps: no axis of this block, .*; its axes: student, stage,",
    ),
    "exclude with a bad value": (
        "{size: 8, exclude: [{difficulty: simple}]}",
        r"exclude\[0\]\.difficulty: found 'simple'; expected one of all, easy",
    ),
    "exclude with a reason that is no text": (
        "{size: 8, exclude: [{size: 8, reason: 3}]}",
        r"exclude\[0\]\.reason: found 3; expected text",
    ),
    "include that is no list": ("{size: 8, include: 3}", r"include: found 3; expected a list"),
    "include without size": (
        "{seed: 1, include: [{seed: 3}]}",
        r"grid\[0\]\.include\[0\]: no `size`, here or as one value of the block",
    ),
    "include of many sizes": (
        "{size: [8, 16], include: [{seed: 3}]}",
        r"include\[0\]: no `size`, here or as one value of the block",
    ),
    "include of a list": (
        "{include: [{size: [8, 16]}]}",
        r"include\[0\]\.size: found \[8, 16\]; expected a whole number",
    ),
    "include of an unknown axis": (
        "{include: [{size: 8, sead: 1}]}",
        r"include\[0\]\.sead: unknown axis",
    ),
    "include of an undefined stage": (
        "{include: [{size: 8, stage: 3}]}",
        r"include\[0\]\.stage: found 3; expected one of 1, 2; define it under `stages`",
    ),
    "bad setting in an include": (
        "{include: [{size: 8, train.epocs: 1}]}",
        r"line 9: grid\[0\]\.include\[0\]\.train\.epocs: unknown key; did you mean epochs\?",
    ),
    "exclude of everything": (
        "{size: [8, 16], exclude: [{seed: 0}]}",
        r"line 8: grid: no cell is left: `exclude` leaves out all of them",
    ),
    "endless zip": (
        "{zip: {size: {range: [0, 5000]}, seed: {range: [0, 5000]}}, stage: [1, 2], "
        "train.steps: {range: [1, 500]}}",
        r"grid\[0\]: stands for 4990000 cells",
    ),
    "endless inclusions": (
        "{seed: {range: [0, 900000]}, include: [{size: 8}, {size: 16}]}",
        r"grid\[0\]: stands for 1800000 cells",
    ),
    "a size that only steps can be derived from": (
        "{size: 8, train.epochs: {matching_size: 16}}",
        r"train\.epochs: found \{'matching_size': 16\}; only train\.steps can be derived",
    ),
    "a matching size that is none": (
        "{size: 8, train.steps: [null, {matching_size: 0}]}",
        r"train\.steps: found \{'matching_size': 0\}; expected \{matching_size: SIZE\}",
    ),
    "a derived axis that there is not": (
        "{size: 8, train.steps: {matchingsize: 16}}",
        r"train\.steps: found .*; expected \{range: .*, or \{matching_size: SIZE\}",
    ),
    "a range of floats": (
        "{size: 8, train.epochs: {range: [0.5, 2.5, 0.5]}}",
        r"train\.epochs: found .*; expected \{range: \[start, stop, step\]\} of whole numbers$",
    ),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_a_fault_is_named(load, case):
    block, message = case
    with pytest.raises(UserError, match=message) as fault:
        load(block)
    assert "\n" not in str(fault.value) and "grid.yaml, line " in str(fault.value)


SIZES, SEEDS, EPOCHS = [0, 8, 16, 32], [0, 1, 2], [1, 2, 3]
ARMS = ["all", "easy", "hard"]


def some(values):
    return st.lists(st.sampled_from(values), min_size=1, max_size=len(values), unique=True)


@st.composite
def blocks(draw):
    block = {"size": draw(some(SIZES))}
    for name, values in (("seed", SEEDS), ("difficulty", ARMS), ("train.epochs", EPOCHS)):
        if draw(st.booleans()):
            block[name] = draw(some(values))
    if "seed" in block and draw(st.booleans()):
        length = len(block["seed"])
        epochs = st.lists(st.sampled_from(EPOCHS), min_size=length, max_size=length)
        block["zip"] = {"seed": block.pop("seed"), "train.epochs": draw(epochs)}
        block.pop("train.epochs", None)
    there = {"size": SIZES, "seed": SEEDS, "difficulty": ARMS}
    conditions = st.dictionaries(st.sampled_from(list(there)), st.none(), min_size=1)
    block["exclude"] = [
        {name: draw(some(there[name])) for name in draw(conditions)}
        for _ in range(draw(st.integers(0, 2)))
    ]
    block["include"] = [
        {"size": draw(st.sampled_from(SIZES)), "seed": draw(st.sampled_from(SEEDS))}
        for _ in range(draw(st.integers(0, 2)))
    ]
    return block


def by_brute_force(block):
    """The distinct cells of a block, as (size, difficulty, seed, epochs)."""
    found = set()
    zipped = block.get("zip")
    pairs = (
        list(zip(zipped["seed"], zipped["train.epochs"], strict=True))
        if zipped
        else itertools.product(block.get("seed", [0]), block.get("train.epochs", [5]))
    )
    for size, difficulty, (seed, epochs) in itertools.product(
        block["size"], block.get("difficulty", ["all"]), pairs
    ):
        point = {"size": size, "difficulty": difficulty, "seed": seed}
        if not any(all(point[n] in v for n, v in item.items()) for item in block["exclude"]):
            found.add((size, difficulty, seed, epochs) if size else (0, "all", 0, None))
    single = {name: block[name][0] for name in block if len(block[name]) == 1 and name in ALONE}
    for item in block["include"]:
        point = {"difficulty": "all", "train.epochs": 5, **single, **item}
        found.add(tuple(point[n] for n in ALONE) if point["size"] else (0, "all", 0, None))
    return found


ALONE = ("size", "difficulty", "seed", "train.epochs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("a folder")


def cells_of(folder, grid):
    path = folder / "grid.yaml"
    path.write_text(f"{BASE.removesuffix('grid:' + chr(10))}grid: {json.dumps(grid)}\n")
    return read_grid(path).cells


@settings(max_examples=60, deadline=None)
@given(block=blocks())
def test_the_cells_are_those_of_nested_loops(folder, block):
    expected = by_brute_force(block)
    assume(expected)
    cells = cells_of(folder, [block])
    found = [
        (
            cell.axes["size"],
            cell.axes["difficulty"],
            cell.axes["seed"],
            None if cell.is_baseline else cell.recipe.train.epochs,
        )
        for cell in cells
    ]
    assert len(found) == len(expected) and set(found) == expected


@settings(max_examples=40, deadline=None)
@given(grid=st.lists(blocks(), min_size=1, max_size=3), data=st.data())
def test_merging_is_idempotent_and_heeds_no_order(folder, grid, data):
    def seen(grid):
        cells = cells_of(folder, grid)
        labels = [cell.label for cell in cells]
        assert len(set(labels)) == len(labels)
        return {cell.label: (cell.axes, cell.recipe) for cell in cells}

    apart = set().union(*(by_brute_force(block) for block in grid))
    assume(apart)
    merged = seen(grid)
    assert seen([*grid, *grid]) == merged
    assert seen(data.draw(st.permutations(grid))) == merged
    assert len(merged) == len(apart)
