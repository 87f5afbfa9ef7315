import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from collect import collect
from synthetic_sweep import World

from valley.errors import UserError
from valley.ledger import Ledger
from valley.sweep import NAMED_AXES
from valley.where import Where

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
    result_path(made, 0, "generate").unlink()  # a score is a score, whatever it was made from
    assert collect(root).missing == found.missing


def test_a_cell_that_waits_for_a_failed_preparation_says_so(root):
    made = world(root)
    made.cell(0.3, size=64, missing=True)
    pool = made.root / "store" / made.lines[-1]["before"][0]
    (pool / "result.json").unlink()
    (pool / "failed.json").write_text('{"error": "no disk", "log": "/a.log"}', encoding="utf-8")
    found = collect(root)
    assert {reason for *_, reason in found.missing} == {"prepare failed: no disk (log: /a.log)"}


def test_a_job_that_has_started_is_not_said_to_be_running(root):
    made = world(root)
    made.cell(0.3, size=64, missing=True)
    train = made.root / "store" / made.lines[-1]["jobs"]["train"]
    train.mkdir(parents=True)
    (train / "running.json").write_text('{"host": "node1", "pid": 1}', encoding="utf-8")
    reasons = {reason for *_, reason in collect(root).missing}
    assert reasons == {"train started, no result yet"}


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
    cell = made.lines[2]["cell"]
    assert found.missing == [(cell, "greedy", "grade: its result is damaged")]
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["result.json"]


@pytest.mark.parametrize("text", ["", "{}\n"])
def test_a_manifest_that_names_no_cell_or_is_damaged_is_an_error(root, text):
    made = world(root)
    manifest = made.folder / "manifest.jsonl"
    manifest.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="launch the sweep again"):
        collect(root)
    assert manifest.read_text(encoding="utf-8") == text


def test_the_sweep_launched_last_is_taken_unless_another_is_named(root):
    world(root, name="old")
    new = world(root, name="new")
    for at, name in enumerate(("old", "new", "old"), start=1):
        Ledger(root / "sweeps" / name).append({"event": "launch", "at": at})
    assert collect(root).sweep == "old"
    assert collect(root, "new").folder == new.folder
    with pytest.raises(UserError, match="there: new, old"):
        collect(root, "none")


def test_conditions_keep_cells_of_a_value_and_baselines_without_the_axis(root):
    world(root)
    found = collect(root).where(Where.parse(["train.steps=1280"]))
    assert found.table["size"].tolist() == [0, 0, 32, 32]
    assert set(found.counts) == set(zip(found.table["cell"], found.table["profile"], strict=True))
    both = Where.parse(["size=32,64", "student=tiny"])
    assert collect(root).where(both).table["size"].eq(32).all()
    assert collect(root).where(Where.parse(["size<32"])).table["size"].eq(0).all()
    assert collect(root).where(Where.parse(["size!=0"])).table["size"].eq(32).all()
    with pytest.raises(UserError, match=r"no axis 'train\.epochs'.*size"):
        collect(root).where(Where.parse(["train.epochs=3"]))
    with pytest.raises(UserError, match="size=33: no such cell; values found: 0, 32"):
        collect(root).where(Where.parse(["size=33"]))
    with pytest.raises(UserError, match="size=32 size=0: no cell meets all"):
        collect(root).where(Where.parse(["size=32", "size=0"]))


def test_the_command_writes_the_table_beside_the_sweep(root):
    made = world(root)
    made.cell(0.3, size=64, missing=True)
    done = run("--root", root)
    assert done.returncode == 0, done.stderr
    path = made.folder / "results.csv"
    *_, last, following = done.stdout.splitlines()
    assert last == f"{path}: 6 of 8 rows measured"
    assert following == f"next: python sweeps/status.py --root '{root}'"
    assert "missing: 2 x train not done" in done.stdout
    table = pd.read_csv(path)
    assert len(table) == 8
    assert table["pass@1"].notna().sum() == 6
    assert [p.name for p in made.folder.iterdir() if p.name.endswith(".tmp")] == []


def test_the_command_takes_its_root_from_the_environment(root):
    made = world(root)
    done = run("--sweep", "demo", env=os.environ | {"VALLEY_ROOT": str(root)})
    assert done.returncode == 0, done.stderr
    assert len(pd.read_csv(made.folder / "results.csv")) == 6
    assert done.stdout.splitlines()[-1] == "next: python analysis/plot_valley.py --sweep demo"


def test_without_a_sweep_the_command_says_what_to_run(root):
    done = run(cwd=root)
    assert done.returncode == 2
    assert "python sweeps/launch.py grid.yaml" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(root.iterdir()) == []
