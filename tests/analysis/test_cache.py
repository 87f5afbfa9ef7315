import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from collect import collect
from results import Results
from several_sweeps import together
from synthetic_sweep import World

SCRIPT = Path(__file__).parents[2] / "analysis" / "collect.py"


@pytest.fixture
def made(tmp_path):
    root = tmp_path / "my runs"
    root.mkdir()
    world = World(root, problems=20)
    world.cell(0.5, size=0)
    world.cell(0.2, size=32)
    return world


@pytest.fixture
def read(monkeypatch):
    """The folders whose result files are read for the table."""
    places = []
    facts = Results.facts

    def noting(self, place):
        places.append(place)
        return facts(self, place)

    monkeypatch.setattr(Results, "facts", noting)
    return places


def result_path(made, index):
    return made.root / "store" / made.lines[index]["jobs"]["grade"] / "result.json"


def cache_path(made):
    return made.folder / "results.cache"


def test_what_did_not_change_is_not_read_again(made, read):
    first = collect(made.root)
    assert len(read) == 9
    read.clear()
    second = collect(made.root)
    assert not read
    pd.testing.assert_frame_equal(first.table, second.table)
    for key, counts in first.counts.items():
        assert (counts.passed == second.counts[key].passed).all()
    assert dict(first.provenance) == dict(second.provenance)


def test_new_and_changed_results_are_read_and_lost_ones_left_out(made, read):
    collect(made.root)
    made.cell(0.3, size=64)
    path = result_path(made, 0)
    value = json.loads(path.read_text())
    value["outcome"]["metrics"]["pass@1"] = 0.125
    before = path.stat()
    path.with_name("new").write_text(json.dumps(value))
    path.with_name("new").replace(path)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # its inode tells it
    result_path(made, 1).unlink()
    read.clear()
    found = collect(made.root)
    new = {place for line in made.lines[4:] for place in line["jobs"].values()}
    assert set(read) == {made.lines[0]["jobs"]["grade"], *new}
    assert found.table["state"].tolist() == ["done", "missing", "done", "done", "done", "done"]
    assert found.table["pass@1"].iloc[0] == 0.125
    assert pd.isna(found.table["pass@1"].iloc[1])


def test_a_result_that_is_damaged_after_it_was_kept_is_named_each_time(made):
    collect(made.root)
    path = result_path(made, 0)
    path.write_text(path.read_text()[:100])
    for _ in range(2):
        found = collect(made.root)
        assert found.table["state"].iloc[0] == "damaged"
        assert str(path) in found.damaged[0]


def test_a_foreign_and_an_older_result_are_named_and_left_out(made):
    result_path(made, 0).write_text('{"hello": "world"}')
    old = result_path(made, 1)
    old.write_text(old.read_text().replace("valley.result/1", "valley.result/0"))
    found = collect(made.root)
    assert len(found.damaged) == 2 and len(found.counts) == 2
    assert "KeyError" in found.damaged[0] and "valley.result/0" in found.damaged[1]


def flipped(content):
    middle = len(content) // 3
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


def foreign(content):
    return b"PAR1 not at all"


@pytest.mark.parametrize("damage", [flipped, foreign, lambda c: c[:-9], lambda c: b""])
def test_a_damaged_cache_is_thrown_away_with_a_note(made, damage):
    whole = collect(made.root).table
    path = cache_path(made)
    path.write_bytes(damage(path.read_bytes()))
    found = collect(made.root)
    assert str(path) in found.note and "written anew" in found.note
    pd.testing.assert_frame_equal(found.table, whole)
    assert collect(made.root).note == ""


def test_a_table_of_somebody_else_is_no_cache(made):
    whole = collect(made.root).table
    pd.DataFrame({"place": ["a"]}).to_parquet(cache_path(made))
    found = collect(made.root)
    assert "another file found" in found.note
    pd.testing.assert_frame_equal(found.table, whole)


def test_collectors_at_once_leave_a_whole_cache(made):
    command = [sys.executable, str(SCRIPT), "--root", str(made.root)]
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    assert collect(made.root).note == ""
    assert not list(made.folder.glob("*.tmp")) and not list(made.folder.glob(".*.tmp"))


def test_sweeps_that_share_a_cell_are_one_table_with_it_once(made):
    other = World(made.root, name="other", problems=20)
    other.lines = made.lines[:2]
    other.cell(0.7, size=64, train__steps=9)
    table = together([collect(made.root, name) for name in ("demo", "other")])
    assert table.columns[0] == "sweep"
    names = ["demo;other"] * 2 + ["demo"] * 2 + ["other"] * 2
    assert table["sweep"].tolist() == names
    assert table["size"].tolist() == [0, 0, 32, 32, 64, 64]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--root", str(made.root), "demo", "other"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    written = pd.read_csv(made.root / "results.csv")
    assert written["sweep"].tolist() == names
    parquet = pd.read_parquet(made.root / "results.parquet")
    assert parquet["pass@1"].tolist() == written["pass@1"].tolist() == table["pass@1"].tolist()


def test_an_inode_of_64_bits_fits_a_column(made, monkeypatch):
    stat = os.stat

    def large(path, **options):
        found = stat(path, **options)
        if not str(path).endswith("result.json"):
            return found
        known = {name: getattr(found, name) for name in dir(found) if name.startswith("st_")}
        return SimpleNamespace(**known | {"st_ino": found.st_ino | 1 << 63})

    monkeypatch.setattr(os, "stat", large)
    assert len(collect(made.root).table) == len(collect(made.root).table) == 4
