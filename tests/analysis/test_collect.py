import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from collect import NAMED_AXES, collect
from synthetic_sweep import World

from valley.errors import UserError

SCRIPT = Path(__file__).parents[2] / "analysis" / "collect.py"


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "my runs"
    folder.mkdir()
    return folder


def world(root, **settings):
    made = World(root, **{"problems": 20} | settings)
    made.cell(0.5, size=0)
    made.cell(0.2, size=32)
    made.cell(0.4, size=32, train__steps=1280)
    return made


def result_path(made, index, kind="grade"):
    return made.root / "store" / made.lines[index]["jobs"][kind] / "result.json"


def run(*arguments, **settings):
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **settings)


def test_every_cell_and_profile_is_a_row_with_its_axes_first(root):
    made = world(root)
    found = collect(root)
    assert found.sweep == "demo"
    assert tuple(found.table.columns[:7]) == (*NAMED_AXES, "train.steps")
    assert len(found.table) == len(made.lines) == 6
    assert list(found.table["state"].unique()) == ["done"]
    row = found.table.iloc[2]
    assert (row["size"], row["profile"], row["steps"]) == (32, "greedy", 10)
    assert row["train_tokens"] == 90 * 32
    assert not found.missing and not found.damaged


def test_counts_are_those_that_the_metrics_were_taken_from(root):
    world(root, samples=4)
    found = collect(root)
    assert len(found.counts) == 6
    for row in found.table.to_dict("records"):
        counts = found.counts[row["cell"], row["profile"]]
        assert counts.samples.tolist() == [4] * 20
        assert (counts.passed / counts.samples).mean() == pytest.approx(row["pass@1"])
        assert counts.completed.sum() / 80 == pytest.approx(row["completion_rate"])


def test_missing_cells_stay_in_the_table_with_the_reason(root):
    made = world(root)
    made.cell(0.3, size=64, missing=("direct",))
    made.cell(0.3, size=128, missing=True)
    made.cell(0.3, size=256, missing=True)
    train = made.root / "store" / made.lines[-1]["jobs"]["train"]
    (train / "result.json").unlink(missing_ok=True)
    train.mkdir(parents=True, exist_ok=True)
    note = {"error": "OutOfMemoryError: 3 GiB", "log": "/logs/7_3.out"}
    (train / "failed.json").write_text(json.dumps(note), encoding="utf-8")
    found = collect(root)
    reasons = {(cell, profile): reason for cell, profile, reason in found.missing}
    assert len(reasons) == 5
    assert reasons["tiny-1-64-all-all-0", "direct"] == "generate not done"
    assert reasons["tiny-1-128-all-all-0", "greedy"] == "train not done"
    assert reasons["tiny-1-256-all-all-0", "greedy"] == (
        "train failed: OutOfMemoryError: 3 GiB (log: /logs/7_3.out)"
    )
    rows = found.table[found.table["state"] == "missing"]
    assert len(rows) == 5 and rows["pass@1"].isna().all()


def damage_text(text):
    return text[: len(text) // 2]


def damage_schema(text):
    return text.replace("valley.result/1", "valley.result/0")


def damage_identity(text):
    value = json.loads(text)
    return json.dumps(value | {"identity": "f" * 64})


def damage_counts(text):
    value = json.loads(text)
    value["outcome"]["counts"][3] = [1, 2]
    return json.dumps(value)


def damage_length(text):
    value = json.loads(text)
    value["outcome"]["completed"].pop()
    return json.dumps(value)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (damage_text, "JSONDecodeError"),
        (damage_schema, "valley.result/0"),
        (damage_identity, "ffff"),
        (damage_counts, "outside 0..samples"),
        (damage_length, "differ in length"),
        (lambda text: "[]", "TypeError"),
    ],
)
def test_a_damaged_result_is_named_and_left_out_and_not_touched(root, damage, said):
    made = world(root)
    path = result_path(made, 2)
    path.write_text(damage(path.read_text(encoding="utf-8")), encoding="utf-8")
    before = path.read_bytes()
    found = collect(root)
    assert len(found.counts) == 5
    (sentence,) = found.damaged
    assert str(path) in sentence and said in sentence
    assert found.table["state"].tolist() == ["done", "done", "damaged", "done", "done", "done"]
    assert path.read_bytes() == before


def test_a_damaged_line_of_the_manifest_is_named_and_left_out(root):
    made = world(root)
    manifest = made.folder / "manifest.jsonl"
    lines = manifest.read_text(encoding="utf-8").splitlines()
    lines[1] = lines[1][:50]
    lines[3] = lines[3].replace("valley.cell/1", "other.cell/9")
    manifest.write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = collect(root)
    assert len(found.table) == 4
    assert [f"line {number}" in text for number, text in zip((2, 4), found.damaged, strict=True)]
    assert "other.cell/9" in found.damaged[1]


def test_a_manifest_without_a_good_line_is_an_error(root):
    made = world(root)
    (made.folder / "manifest.jsonl").write_text("{}\n", encoding="utf-8")
    with pytest.raises(UserError, match="launch the sweep again"):
        collect(root)


def test_the_sweep_launched_last_is_taken_unless_another_is_named(root):
    world(root, name="old")
    new = world(root, name="new")
    for name, age_s in (("old", 100), ("new", 50)):
        manifest = root / "sweeps" / name / "manifest.jsonl"
        os.utime(manifest, (10_000 - age_s, 10_000 - age_s))
    assert collect(root).sweep == "new"
    journal = root / "sweeps" / "old" / "journal.jsonl"
    journal.write_text("", encoding="utf-8")  # launched again, with the same manifest
    assert collect(root).sweep == "old"
    assert collect(root, "new").folder == new.folder
    with pytest.raises(UserError, match="found: new, old"):
        collect(root, "none")


def test_conditions_keep_cells_of_a_value_and_baselines_without_the_axis(root):
    world(root)
    found = collect(root).where({"train.steps": "1280"})
    assert found.table["size"].tolist() == [0, 0, 32, 32]
    assert set(found.counts) == set(zip(found.table["cell"], found.table["profile"], strict=True))
    assert collect(root).where({"size": "32", "student": "tiny"}).table["size"].eq(32).all()
    with pytest.raises(UserError, match=r"no axis 'sise'.*size"):
        collect(root).where({"sise": "32"})
    with pytest.raises(UserError, match="values found: 0, 32"):
        collect(root).where({"size": "33"})


def test_the_command_writes_the_table_beside_the_sweep(root):
    made = world(root)
    made.cell(0.3, size=64, missing=True)
    done = run("--root", root)
    assert done.returncode == 0, done.stderr
    path = made.folder / "results.csv"
    assert done.stdout.splitlines()[-1] == f"{path}: 6 of 8 rows measured"
    assert "missing: 2 x train not done" in done.stdout
    table = pd.read_csv(path)
    assert len(table) == 8
    assert table["pass@1"].notna().sum() == 6
    assert [p.name for p in made.folder.iterdir() if p.name.endswith(".tmp")] == []


def test_the_command_takes_its_root_from_the_environment_and_its_output_from_an_option(root):
    world(root)
    out = root / "elsewhere" / "table.csv"
    done = run("--out", out, "--where", "size=32", env=os.environ | {"VALLEY_ROOT": str(root)})
    assert done.returncode == 0, done.stderr
    assert pd.read_csv(out)["size"].eq(32).all()


def test_without_a_sweep_the_command_says_what_to_run(root):
    done = run(cwd=root)
    assert done.returncode == 2
    assert "python sweeps/launch.py grid.yaml" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(root.iterdir()) == []
