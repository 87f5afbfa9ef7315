"""What is kept of a manifest, in columns."""

import json

import pandas as pd
import pytest
from collect import collect
from synthetic_sweep import World

from valley.ledger import Ledger


@pytest.fixture
def made(spaced):
    world = World(spaced, problems=10)
    world.cell(0.5, size=0)
    world.cell(0.2, size=32)
    world.cell(0.3, size=64, missing=("direct",))
    return world


def kept(made):
    return made.folder / "manifest.cache"


def spelled(found):
    """Cells with what tells 1 from 1.0 and from true."""
    return {key: json.dumps(axes, sort_keys=True) for key, axes in found.cells.items()}


def test_lines_are_read_once_until_they_change(made, monkeypatch):
    reads = []
    rows = Ledger.rows
    monkeypatch.setattr(Ledger, "rows", lambda self: reads.append(1) or rows(self))
    first, second = collect(made.root), collect(made.root)
    assert len(reads) == 1
    pd.testing.assert_frame_equal(first.table, second.table)
    assert spelled(first) == spelled(second) and dict(first.places) == dict(second.places)
    assert first.missing == second.missing != []
    made.cell(0.4, size=128)
    assert collect(made.root).table["size"].tolist()[-1] == 128
    assert len(reads) == 2


def test_axes_keep_their_types_and_lines_what_they_lack(spaced):
    world = World(spaced, problems=10)
    world.cell(0.5, size=0)
    for at, value in enumerate((1, 1.0, True, "1", None, [1, 2], {"a": [1]})):
        world.cell(0.5, size=32 + at, train__odd=value)
    of_lines = {(line["cell"], line["profile"]): line["axes"] for line in world.lines}
    for _ in range(2):  # read, and then kept
        found = collect(spaced)
        assert spelled(found) == {k: json.dumps(a, sort_keys=True) for k, a in of_lines.items()}
        assert [type(value) for value in found.table["train.odd"]][2::2] == [
            int, float, bool, str, type(None), list, dict,
        ]  # fmt: skip
    assert kept(world).is_file()


def test_a_sweep_without_trainings_is_kept_too(spaced):
    world = World(spaced, problems=10)
    world.cell(0.5, size=0)
    for _ in range(2):
        found = collect(spaced)
        assert [set(places) for places in found.places.values()] == [{"generate", "grade"}] * 2
        assert found.table["state"].tolist() == ["done", "done"]


@pytest.mark.parametrize(
    "damage", [lambda c: c[: len(c) // 2], lambda c: b"PAR1 not at all", lambda c: b""]
)
def test_what_is_damaged_is_written_anew_with_a_note(made, damage):
    table = collect(made.root).table
    kept(made).write_bytes(damage(kept(made).read_bytes()))
    found = collect(made.root)
    assert str(kept(made)) in found.note and "written anew" in found.note
    pd.testing.assert_frame_equal(found.table, table)
    assert collect(made.root).note == ""


def test_rounds_of_samples_are_counted_each_time(made):
    for line in made.lines:
        line["earlier"] = []
    made.write_manifest()
    collect(made.root)
    assert not kept(made).exists()
