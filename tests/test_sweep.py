from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from valley.errors import UserError
from valley.sweep import NAMED_AXES, find_grid, load_sweep

REPOSITORY = Path(__file__).parent.parent
DEFAULT = REPOSITORY / "sweeps" / "grid.yaml"
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
        r"grid\.yaml, line 12: trian: unknown key; did you mean train\? \(allowed: name, students,",
    ),
    "a name that is no folder's": (
        "  - {size: 8}\n",
        r"name: found 'my sweep'; a sweep's name is a folder's: letters of a to z, digits",
        "name=my sweep",
    ),
    "unknown nested key": (
        "  - {size: 8}\ncluster: {partion: gpu}\n",
        r"line 12: cluster\.partion: unknown key; did you mean partition\?",
    ),
    "key twice": (
        "  - {size: 8}\nstages: {1: {}}\n",
        r"line 12: 'stages' stands there twice, first on line 7; keep one",
    ),
    "key twice in a block": ("  - {size: 8, size: 9}\n", "line 11: 'size' stands there twice"),
    "wrong type": (
        "  - {size: 8}\ngenerate: {batch_size: many}\n",
        r"line 12: generate\.batch_size: found 'many'; expected a valid integer",
    ),
    "boolean for a number": (
        "  - {size: 8}\ngenerate: {batch_size: true}\n",
        r"generate\.batch_size: found True; expected a valid integer",
    ),
    "text for a number": (
        "  - {size: 8}\ngenerate: {batch_size: '3'}\n",
        r"generate\.batch_size: found '3'; expected a valid integer",
    ),
    "boolean for a choice of numbers": ("  - {size: 8}\n", "zero_stage", "train.zero_stage=true"),
    "infinite": (
        "  - {size: 8}\npreview: {startup_s: .inf}\n",
        r"line 12: preview\.startup_s: found inf; expected a finite number",
    ),
    "infinite axis": ("  - {size: [8, .inf]}\n", r"line 11: grid\[0\]\.size\[1\]: found inf"),
    "out of bounds": (
        "  - {size: 8}\ngenerate: {batch_size: 0}\n",
        r"generate\.batch_size: found 0; expected a number greater than or equal to 1",
    ),
    "size of a wrong type": (
        "  - {size: [8, lots]}\n",
        r"line 11: grid\[0\]\.size: found 'lots'; expected a whole number",
    ),
    "boolean size": ("  - {size: true}\n", r"size: found True; expected a whole number"),
    "negative size": ("  - {size: -1}\n", r"found -1; expected a whole number, 0 or more"),
    "seed too large": (
        "  - {size: 8, seed: 9223372036854775808}\n",
        r"expected 9223372036854775807 at",
    ),
    "no size": ("  - {size: 8}\n  - {seed: 1}\n", r"line 12: grid\[1\]: no `size`"),
    "empty axis": ("  - {size: 8, difficulty: []}\n", r"grid\[0\]\.difficulty: an empty axis"),
    "unknown difficulty": (
        "  - size: 8\n    difficulty: simple\n",
        r"line 12: grid\[0\]\.difficulty: found 'simple'; expected one of all, easy, medium, hard",
    ),
    "unknown axis": (
        "  - {size: 8, dificulty: easy}\n",
        r"grid\[0\]\.dificulty: unknown axis; expected one of student, stage, size",
    ),
    "a setting without its section": (
        "  - {size: 8}\nepochs: 3\n",
        r"line 12: epochs: unknown key; did you mean train\.epochs\? \(allowed: name,",
    ),
    "a setting without its section, on the command line": (
        "  - {size: 8}\n",
        r"^--set batch_size=3: batch_size: unknown key; "
        r"did you mean train\.batch_size or generate\.batch_size\?",
        "batch_size=3",
    ),
    "a setting without its section as axis": (
        "  - {size: 8, steps: 30}\n",
        r"line 11: grid\[0\]\.steps: unknown axis; .*; did you mean train\.steps\?",
    ),
    "a profile's setting as axis": (
        "  - {size: 8, temperature: 1}\n",
        r"temperature: unknown axis; .*; did you mean generate\.profiles\.<name>\.temperature\?",
    ),
    "number as axis": ("  - {size: 8, 3: 4}\n", r"grid\[0\]\.3: unknown axis"),
    "unknown setting as axis": (
        "  - size: 8\n    train.epocs: 3\n",
        r"line 12: grid\[0\]\.train\.epocs: unknown key; did you mean epochs\?",
    ),
    "setting of what has none as axis": (
        "  - {size: 8, train.epochs.x: 3}\n",
        r"grid\[0\]\.train\.epochs\.x: train\.epochs holds no settings",
    ),
    "bad setting as axis": (
        "  - size: 8\n    train.epochs: [1, -3]\n",
        r"line 12: grid\[0\]\.train\.epochs: found -3; expected a number greater than 0",
    ),
    "boolean setting as axis": (
        "  - {size: 8, train.epochs: true}\n",
        r"grid\[0\]\.train\.epochs: found True; expected a valid number",
    ),
    "date as axis": (
        "  - {size: 8, train.epochs: 2024-01-01}\n",
        r"grid\[0\]\.train\.epochs: found '2024-01-01'; expected a valid number",
    ),
    "fault inside the value of an axis": (
        "  - {size: 8, generate.profiles: [{g: {samples: 0}}]}\n",
        r"grid\[0\]\.generate\.profiles\.g\.samples: found 0; expected a number greater",
    ),
    "keys of two kinds in the value of an axis": (
        "  - {size: 8, generate.profiles: [{1: {}, a: {sample: 2}}]}\n",
        r"grid\[0\]\.generate\.profiles\.a\.sample: unknown key; did you mean samples\?",
    ),
    "what changes no result as axis": (
        "  - {size: 8, train.micro_batch_size: [1, 2]}\n",
        r"grid\[0\]\.train\.micro_batch_size: no axis, .* set `micro_batch_size` under `train`",
    ),
    "epochs beside steps": (
        "  - {size: 8, train.epochs: [1, 2], train.steps: 10}\n",
        r"grid\[0\]\.train\.epochs: of no effect where train\.steps is set",
    ),
    "undefined stage": (
        "  - {size: 8, stage: 3}\n",
        r"grid\[0\]\.stage: found 3; expected one of 1, 2; define it under `stages`",
    ),
    "stage that only equals one": (
        "  - {size: 8, stage: 1.0}\n",
        r"stage: found 1\.0; expected one",
    ),
    "unknown student": ("  - {size: 8, student: qwen}\n", r"found 'qwen'; expected one of tiny"),
    "bad range": ("  - {size: {range: [1]}}\n", r"expected \{range: \[start, stop, step\]\}"),
    "range without steps": ("  - {size: {range: [1, 2, 0]}}\n", r"expected \{range: "),
    "range of booleans": ("  - {size: {range: [false, true]}}\n", r"expected \{range: "),
    "empty range": ("  - {size: {range: [3, 3]}}\n", r"size: an empty axis"),
    "endless range": ("  - {size: {range: [0, 99999999999]}}\n", "range of 99999999999 values"),
    "endless block": (
        "  - {size: {range: [0, 100000]}, seed: {range: [0, 100000]}}\n",
        r"grid\[0\]: stands for 10000000000 cells",
    ),
    "ranks where there can be none": (
        "  - {size: 8}\nresources: {grade: {tasks_per_node: 2}}\n",
        r"only train runs in several ranks",
    ),
    "empty grid": ("  []\n", r"line 10: grid: found 0 items; expected 1 or more"),
    "an empty list of lengths": (
        "  - {size: 8, data.trace_lengths: [[]]}\n",
        r"data\.trace_lengths: ",
    ),
    "a length of nothing": (
        "  - {size: 8, data.easy_lengths: [[0]]}\n",
        r"easy_lengths\.0: found 0",
    ),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD.keys())
def test_bad_input_is_named(spaced, case):
    grid, message, *settings = case
    with pytest.raises(UserError, match=message) as fault:
        load(spaced, grid, settings)
    assert "\n" not in str(fault.value)


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
    for text, message in (
        ("- 1", "found a list; expected a mapping: `name:`"),
        ("a: [", "not YAML"),
        ("", "found nothing; expected a mapping: `name:`"),
        ("name", "found text"),
    ):
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            load_sweep(path)
    with pytest.raises(UserError, match=r"no such grid here or in sweeps/"):
        find_grid("nowhere.yaml")
    with pytest.raises(UserError, match=r"a folder; give a grid file \(in it: grid\.yaml\)"):
        find_grid(str(spaced))


def test_what_belongs_into_a_block_is_told_so(spaced):
    for setting, message in (
        (
            "train.learning_rate=[1e-3,1e-4]",
            r"expected a valid number; several values must stand in a block of `grid`, as "
            r"`train\.learning_rate: \[first, second\]`",
        ),
        (
            "train.steps={matching_size: 8}",
            r"\{matching_size: SIZE\} can stand in a block of `grid`",
        ),
        ("cluster.array_throttle=[1]", "expected a valid integer$"),
    ):
        (spaced / "grid.yaml").write_text(f"{BASE}  - {{size: 8}}\n")
        with pytest.raises(UserError, match=message):
            load_sweep(spaced / "grid.yaml", [setting])


def test_a_bare_name_is_found_here_then_among_the_grids_that_ship(spaced, monkeypatch):
    monkeypatch.chdir(spaced)
    assert find_grid("grid.yaml").parent.name == "sweeps" and find_grid("grid.yaml").is_file()
    (spaced / "grid.yaml").write_text("")
    assert find_grid("grid.yaml").resolve() == (spaced / "grid.yaml").resolve()
    with pytest.raises(UserError, match=r"nowhere\.yaml: no such grid .*grids there: .*grid\.yaml"):
        find_grid("nowhere.yaml")


def test_a_grid_in_another_encoding_is_named(spaced):
    path = spaced / "grid.yaml"
    path.write_bytes("name: é".encode("latin-1"))
    with pytest.raises(
        UserError, match=r"grid\.yaml: not UTF-8 \(byte 0xe9 at 6\); save the file as"
    ):
        load_sweep(path)


def test_a_student_may_be_called_like_a_source(spaced):
    base = BASE.replace("tiny: {source: tiny}", "tiny: {source: tiny, layers: x}")
    with pytest.raises(UserError, match=r"line 4: students\.tiny\.layers: found 'x'"):
        load(spaced, "  - {size: 8}\n", base=base)
    base = BASE.replace("pool_traces: 1000", "pool_trace: 1000")
    with pytest.raises(
        UserError, match=r"line 5: data\.pool_trace: unknown key; did you mean pool_t"
    ):
        load(spaced, "  - {size: 8}\n", base=base)
    packages = BASE.replace("{source: tiny, pool_traces: 1000}", "{source: packages, limit: 3}")
    with pytest.raises(UserError, match=r"data\.limit: unknown key.*allowed: .*evaluation_limit"):
        load(spaced, "  - {size: 8}\n", base=packages)


def test_a_source_that_there_is_not_is_named(spaced):
    with pytest.raises(
        UserError, match=r"students\.tiny: 'source' found 'tny'; expected one of tiny, "
    ):
        load(spaced, "  - {size: 8}\n", ["students.tiny.source=tny"])


def settings(value, place=""):
    """The dotted places of all settings in a grid's mappings."""
    for key, inner in value.items():
        yield f"{place}{key}"
        if isinstance(inner, dict):
            yield from settings(inner, f"{place}{key}.")


PLACES = sorted(
    {*settings(yaml.safe_load(DEFAULT.read_text())), *NAMED_AXES, "grade.k", "grade", "when"}
)
ODD = [
    "null",
    "true",
    "0",
    "1",
    "-1",
    "3.5",
    "1e30",
    "99999999999999999999",
    ".inf",
    ".nan",
    "''",
    "x",
    "'3'",
    "2024-01-01",
    "[]",
    "[[]]",
    "[1]",
    "[null]",
    "{}",
    "{a: 1}",
    "{1: 2}",
    "{a: {}, 1: {}}",
    "{range: [0, 2]}",
    "{range: null}",
    "!!binary aGk=",
    "~no_such_user_here/x",
    "{source: tiny}",
    "{source: package, package: .x, file: y}",
    "{from: {size: 1}}",
    "{size: 8}",
    "[{size: 8, train.steps.x: 1}]",
    "[{size: [8, x]}]",
    "[{size: 0, 3: 4}]",
    "&a [*a]",
    "{matching_size: 5}",
    "[{matching_size: null}, null]",
    "[{size: 8, zip: [3], exclude: x}]",
    "[{size: 8, zip: {seed: [1], stage: {range: [1, 3]}}}]",
    "[{size: 8, exclude: [{size: {}}], include: [[]]}]",
    "[{include: [{size: 8, train: 3}]}]",
    "[{if: {size: 8}, set: {train: 3}}]",
    "[{if: {size: {}}, set: {train.epochs: []}}]",
    "[{if: {size: 8, train.steps: null}, set: {train.steps: {matching_size: 9}}}]",
]


@pytest.mark.parametrize("place", PLACES)
def test_no_odd_value_ends_in_a_traceback(place):
    """Each odd value at every place of the default grid: cells, or one line that says what is wrong."""
    for value in ODD:
        try:
            load_sweep(DEFAULT, [f"{place}={value}"])
        except UserError as fault:
            assert "\n" not in str(fault)
