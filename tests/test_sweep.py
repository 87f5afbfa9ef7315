from __future__ import annotations

from pathlib import Path

import pytest

from valley.errors import UserError
from valley.sweep import find_grid, load_sweep

REPOSITORY = Path(__file__).parent.parent
BASE = """
name: test
students:
  tiny: {source: tiny}
data: {source: tiny, pool_traces: 1000}
train: {batch_size: 16}
stages:
  1: {}
  2: {from: {size: 64}}
grid:
"""


def load(folder, grid, settings=None, base=BASE):
    path = folder / "grid.yaml"
    path.write_text(base + grid)
    return load_sweep(path, settings)


def axes(cells, *names):
    return [tuple(cell.axes[name] for name in names) for cell in cells]


def test_a_block_is_the_product_of_its_lists(spaced):
    _, cells = load(spaced, "  - {size: [8, 16], seed: [0, 1], difficulty: [easy, hard]}\n")
    assert axes(cells, "size", "difficulty", "seed") == [
        (size, difficulty, seed)
        for size in (8, 16)
        for difficulty in ("easy", "hard")
        for seed in (0, 1)
    ]
    assert all(cell.axes["student"] == "tiny" and cell.axes["stage"] == 1 for cell in cells)


def test_equal_cells_merge_and_baselines_are_one(spaced):
    grid = "  - {size: [0, 8], seed: [0, 1, 2]}\n  - {size: [8, 0], correctness: all}\n"
    _, cells = load(spaced, grid)
    assert axes(cells, "size", "seed") == [(0, 0), (8, 0), (8, 1), (8, 2)]


def test_a_range_stands_for_a_list(spaced):
    _, cells = load(spaced, "  - size: {range: [100, 500, 200]}\n")
    assert axes(cells, "size") == [(100,), (300,)]


def test_any_setting_may_be_an_axis(spaced):
    grid = "  - {size: 8, train.learning_rate: [1.0e-4, 2e-4], train.steps: 50}\n"
    _, cells = load(spaced, grid)
    assert [cell.recipe.train.learning_rate for cell in cells] == [1e-4, 2e-4]
    assert [cell.recipe.train.total_steps(8) for cell in cells] == [50, 50]
    assert len({cell.label for cell in cells}) == 2


def test_settings_override_axes_in_every_block_and_any_key(spaced):
    grid = "  - {size: 8}\n  - {size: 16, seed: 5}\n"
    sweep, cells = load(spaced, grid, ["seed=[0, 1]", "train.epochs=2", "cluster.local_cpus=1"])
    assert axes(cells, "size", "seed") == [(8, 0), (8, 1), (16, 0), (16, 1)]
    assert sweep.train.epochs == 2 and sweep.cluster.local_cpus == 1


@pytest.mark.parametrize("name", sorted(p.name for p in (REPOSITORY / "sweeps").glob("*.yaml")))
def test_the_grids_that_ship_are_valid(name):
    _, cells = load_sweep(REPOSITORY / "sweeps" / name)
    assert any(cell.is_baseline for cell in cells)


def test_the_default_grid_covers_the_design():
    _, cells = load_sweep(REPOSITORY / "sweeps" / "grid.yaml")
    curve = {
        a["size"]
        for a in (c.axes for c in cells)
        if a["difficulty"] == a["correctness"] == "all" and a["stage"] == 1
    }
    assert len(curve) >= 6 and 0 in curve
    for stage in (1, 2):
        arms = {
            (c.axes["difficulty"], c.axes["correctness"]) for c in cells if c.axes["stage"] == stage
        }
        assert {("easy", "all"), ("hard", "all"), ("all", "correct"), ("all", "incorrect")} <= arms
    assert sum("train.steps" in c.axes for c in cells) == 2
    assert {"greedy", "direct"} <= cells[0].recipe.generate.profiles.keys()


BAD = {
    "unknown key": (
        "  - {size: 8}\ntrian: {epochs: 3}\n",
        r"grid\.yaml, line 12: trian: unknown key",
    ),
    "unknown nested key": (
        "  - {size: 8}\ncluster: {partion: gpu}\n",
        r"line 12: cluster\.partion: unknown key",
    ),
    "wrong type": (
        "  - {size: 8}\ngenerate: {batch_size: many}\n",
        r"generate\.batch_size: .*integer.*'many'",
    ),
    "out of bounds": (
        "  - {size: 8}\ngenerate: {batch_size: 0}\n",
        r"generate\.batch_size: .*greater than or equal to 1.*found 0",
    ),
    "size of a wrong type": (
        "  - {size: [8, lots]}\n",
        r"grid\[0\]\.size: found 'lots'; expected a whole number",
    ),
    "negative size": ("  - {size: -1}\n", r"found -1; expected a whole number, 0 or more"),
    "no size": ("  - {seed: 1}\n", r"grid\[0\]: no `size`"),
    "empty axis": ("  - {size: 8, difficulty: []}\n", r"grid\[0\]\.difficulty: an empty axis"),
    "unknown difficulty": (
        "  - {size: 8, difficulty: simple}\n",
        r"found 'simple'; expected one of all, easy, medium, hard",
    ),
    "unknown axis": (
        "  - {size: 8, dificulty: easy}\n",
        r"grid\[0\]\.dificulty: unknown axis; expected one of student, stage, size",
    ),
    "unknown setting as axis": (
        "  - {size: 8, train.epocs: 3}\n",
        r"grid\[0\]: train: epocs: unknown key",
    ),
    "bad setting as axis": (
        "  - {size: 8, train.epochs: -3}\n",
        r"epochs: .*greater than 0.*found -3",
    ),
    "undefined stage": (
        "  - {size: 8, stage: 3}\n",
        r"grid\[0\]\.stage: found 3; expected one of 1, 2; define it under `stages`",
    ),
    "unknown student": ("  - {size: 8, student: qwen}\n", r"found 'qwen'; expected one of tiny"),
    "bad range": ("  - {size: {range: [1]}}\n", r"expected \{range: \[start, stop, step\]\}"),
    "ranks where there can be none": (
        "  - {size: 8}\nresources: {grade: {tasks_per_node: 2}}\n",
        r"only train runs in several ranks",
    ),
    "empty grid": ("  []\n", r"grid: "),
}


@pytest.mark.parametrize("grid, message", BAD.values(), ids=BAD.keys())
def test_bad_input_is_named(spaced, grid, message):
    with pytest.raises(UserError, match=message):
        load(spaced, grid)


def test_a_cycle_of_stages_is_named(spaced):
    base = BASE.replace("1: {}", "1: {from: {size: 8, stage: 2}}")
    with pytest.raises(UserError, match=r"stages: a cycle \(1 -> 2 -> 1\)"):
        load(spaced, "  - {size: 8}\n", base=base)


def test_a_stage_that_starts_from_an_undefined_one_is_named(spaced):
    base = BASE.replace("2: {from: {size: 64}}", "2: {from: {size: 64, stage: 7}}")
    with pytest.raises(
        UserError, match=r"stages\.2\.from\.stage: stage 7 is not defined; defined: 1, 2"
    ):
        load(spaced, "  - {size: 8}\n", base=base)


def test_what_is_no_grid_is_refused(spaced):
    path = spaced / "grid.yaml"
    for text, message in (("- 1", "found list"), ("a: [", "not YAML"), ("", "found NoneType")):
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            load_sweep(path)
    with pytest.raises(UserError, match=r"no such grid here or in sweeps/"):
        find_grid("nowhere.yaml")


@pytest.mark.parametrize("setting", ["seed", "=3", "train.epochs=[", "name.x=1"])
def test_bad_overrides_are_named(spaced, setting):
    with pytest.raises(UserError, match="--set"):
        load(spaced, "  - {size: 8}\n", [setting])
