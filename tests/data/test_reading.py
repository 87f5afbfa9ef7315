from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import ocr2_row, places, write_ocr2, write_questions

from valley.data import reading
from valley.data.index import read_index
from valley.data.pool import PoolSettings, PoolWriter
from valley.data.reading import _line, spell
from valley.data.sources.pool_config import OpenCodeReasoning2Pool
from valley.data.traces import Trace
from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.processes import children_of
from valley.records import record_line

TEXTS = st.text() | st.text(st.characters(max_codepoint=127))
SETTINGS = {"correctness": {"by": "judgement"}, "difficulty": {"by": "label"}, "keep": 20}


def five_shards(folder: Path, rows: int, change) -> OpenCodeReasoning2Pool:
    """An OpenCodeReasoning-2 that is written there, each row changed before."""
    questions = places(write_questions(folder / "questions"))
    write_ocr2(folder / "ocr2", rows, 300, 5, change=change)
    where = {"path": str(folder / "ocr2"), "questions": questions}
    return OpenCodeReasoning2Pool.model_validate({"source": "opencodereasoning2", **where})


@pytest.fixture
def source(spaced):
    """An OpenCodeReasoning-2 of five shards, one row with a thought without an end."""

    def change(row):
        if row["id"].endswith("3f"):
            row["r1_generation"] = "<think>never"
        if row["id"].endswith("40"):  # a duplicate of another shard's
            row["r1_generation"] = same[0]
        same.append(row["r1_generation"])

    same: list[str] = []
    return five_shards(spaced, 200, change)


def write(folder: Path, source, workers: int, **settings):
    """The outcome of a pool, and its files."""
    folder.mkdir()
    pool = PoolSettings.model_validate({**SETTINGS, **settings})
    outcome = PoolWriter(folder, pool, GradeConfig(), workers).write(source.open())
    return outcome, {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {
            "clean": {"duplicates": "near", "special_judge": "drop"},
            "difficulty": {"by": "pass_rate"},
        },
    ],
)
def test_the_pool_is_the_same_whoever_read_which_shard(spaced, source, settings):
    alone = write(spaced / "alone", source, 1, **settings)
    assert write(spaced / "three", source, 3, **settings) == alone
    outcome, files = alone
    assert outcome["read"]["rows"] == 200 and outcome["kept_traces"] < outcome["pool_traces"]
    assert outcome["read"]["left out: thought without an end"] == 1
    assert {name for name in files if "spill" in name} == set()


def test_a_shard_that_another_process_cannot_read_is_told_in_the_same_words(spaced, source):
    shard = sorted((spaced / "ocr2").rglob("*.parquet"))[3]
    # The footer stays, so that only reading finds it.
    content = bytearray(shard.read_bytes())
    content[4:2000] = bytes(1996)
    shard.write_bytes(content)
    said = []
    for workers in (1, 2):
        with pytest.raises(UserError, match=r"00003-of-00005\.parquet is damaged") as raised:
            write(spaced / str(workers), source, workers)
        said.append(str(raised.value))
        assert list((spaced / str(workers)).iterdir()) == []
    assert said[0] == said[1]
    assert helpers() == []


def helpers() -> list[int]:
    """The processes that read for this one."""
    mine = children_of(os.getpid())
    return [pid for pid in mine if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()]


def test_a_process_that_is_killed_while_it_reads_is_an_error(spaced, source):
    def kill():
        while not (there := helpers()) and time.monotonic() < end:
            time.sleep(0.01)
        os.kill(there[0], signal.SIGKILL)

    end = time.monotonic() + 60
    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(UserError, match="a process that read traces was killed"):
        write(spaced / "pool", source, 2)
    killer.join()


@given(thinking=TEXTS, answer=TEXTS, teacher=TEXTS, correct=st.sampled_from([None, True, False]))
def test_a_line_is_spelt_as_every_record(thinking, answer, teacher, correct):
    trace = Trace("№ 1", "p/2", thinking, answer, correct, "easy", teacher)
    assert _line(trace, "easy", correct).decode() == record_line(trace)


@given(
    text=TEXTS | st.text(st.characters(), min_size=1).map(lambda text: text + "\x7f\x00 \U0001f600")
)
def test_a_text_is_spelt_as_json_spells_it(text):
    assert spell(text) == json.dumps(text).encode()


def test_there_are_not_more_processes_than_shards_or_than_the_most(spaced, source, monkeypatch):
    started = []
    start = reading._helpers

    def count(reader, rules, folder, number):
        started.append(number)
        return start(reader, rules, folder, number)

    monkeypatch.setattr(reading, "_helpers", count)
    monkeypatch.setattr(reading, "MOST_PROCESSES", 2)
    write(spaced / "pool", source, 32)
    assert started == [2]


@pytest.fixture
def repeated(spaced):
    """60 rows of five shards, each there once more in another shard; two rows of one id."""

    def change(row):
        number = int(row["id"], 16)
        row |= ocr2_row(number % 60, 300)
        if number == 70:
            row["judgement"] = "wrong"  # a copy that is in other arms
        if number in (7, 23):
            row["id"] = "shared"

    return five_shards(spaced, 120, change)


@pytest.mark.parametrize("duplicates", [None, "exact", "near"])
def test_rows_that_stand_in_a_data_set_twice_count_once(spaced, repeated, duplicates):
    settings = {"keep": 5, "clean": {"duplicates": duplicates} if duplicates else {}}
    outcome, files = write(spaced / "alone", repeated, 1, **settings)
    assert write(spaced / "three", repeated, 3, **settings) == (outcome, files)
    ids = read_index(spaced / "alone").ids
    assert len(ids) == len(set(ids)) == outcome["pool_traces"]
    assert outcome["read"] == {
        "rows": 120,
        "candidates": 62,
        "doubtful: an id that several rows have": 116 + 2,
        "left out: the trace of an earlier row": 58,
    }


def test_rows_that_share_an_id_and_nothing_else_are_traces_of_their_own(spaced, source):
    rewritten = sorted((spaced / "ocr2").rglob("*.parquet"))
    for path in rewritten:
        table = pq.read_table(path)
        at = table.schema.get_field_index("id")
        ids = [name if int(name, 16) % 100 else "shared" for name in table["id"].to_pylist()]
        pq.write_table(table.set_column(at, "id", pa.array(ids)), path)
    outcome, _ = write(spaced / "pool", source, 2)
    assert outcome["read"]["doubtful: an id that several rows have"] == 2
    ids = read_index(spaced / "pool").ids
    assert outcome["pool_traces"] == 199 and len(set(ids)) == 199
    assert sum(name.startswith("shared/") for name in ids) == 2
