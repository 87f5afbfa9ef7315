from __future__ import annotations

import gzip
import threading
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from synthetic import write_lines, write_parquet, write_stream

from valley.data.sources import shard_files, shards
from valley.errors import UserError

ROWS = [{"a": f"é{i}", "b": None if i % 2 else i} for i in range(10)]


def read(path, columns=("a", "b"), optional=(), batch_rows=3):
    return [
        row for batch in shards.read([path], columns, optional, batch_rows) for row in batch.rows()
    ]


FORMATS = ["parquet", "arrow", "jsonl", "jsonl.gz"]


def written(folder, form, rows):
    path = folder / f"x.{form}"
    if form == "parquet":
        write_parquet(path, rows)
    elif form == "arrow":
        write_stream(path, rows)
    else:
        write_lines(folder / "plain.jsonl", rows)
        text = (folder / "plain.jsonl").read_bytes()
        path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    return path


@pytest.fixture(params=FORMATS)
def shard(request, spaced):
    return written(spaced, request.param, ROWS)


def test_every_format_gives_the_same_rows(shard):
    assert read(shard) == ROWS and shards.columns_of(shard) == ["a", "b"]
    assert read(shard, ("b",)) == [{"b": row["b"]} for row in ROWS]


@pytest.mark.parametrize("ahead_from", [1, 256])
def test_batches_are_small_and_in_order(shard, monkeypatch, ahead_from):
    monkeypatch.setattr(shards, "BATCH_ROWS", ahead_from)
    batches = list(shards.read([shard, shard], ("a",), batch_rows=4))
    assert max(map(len, batches)) <= 4
    assert [r["a"] for b in batches for r in b.rows()] == [row["a"] for row in [*ROWS, *ROWS]]


@pytest.fixture
def reads_ahead(monkeypatch):
    """Small batches are read ahead too."""
    monkeypatch.setattr(shards, "BATCH_ROWS", 1)


def test_reading_may_end_before_the_end(shard, reads_ahead):
    threads = threading.active_count()
    rows = shards.read([shard] * 50, ("a",), batch_rows=2)
    assert [row["a"] for row in next(rows).rows()] == ["é0", "é1"]
    rows.close()
    assert threading.active_count() == threads


def test_rows_before_a_damaged_shard_come_first(shard, spaced, reads_ahead):
    damaged = spaced / f"damaged.{shard.name.partition('.')[2]}"
    damaged.write_bytes(shard.read_bytes()[:9])
    batches = shards.read([shard, damaged], ("a",), batch_rows=10)
    with pytest.raises(UserError, match=r"damaged\."):
        for number, batch in enumerate(batches):
            seen = number, len(batch)
    assert seen[1] in (1, 3, 10)  # streams have batches of their own


def test_an_optional_column_that_is_missing_is_none(shard):
    assert read(shard, ("a",), ("c",)) == [{"a": row["a"], "c": None} for row in ROWS]


def test_a_missing_column_is_named_with_its_file(shard):
    with pytest.raises(UserError, match=r"x\..*column 'c' is missing; there are: a, b"):
        read(shard, ("a", "c"))


@pytest.mark.parametrize("wrong", [7, 0.5, ["x"], {"x": 1}, True])
@pytest.mark.parametrize("form", FORMATS)
def test_a_text_column_that_holds_something_else_is_named(spaced, form, wrong):
    path = written(spaced, form, [{"a": None, "b": "x"}, {"a": wrong, "b": "x"}])
    assert len(read(path)) == 2
    with pytest.raises(UserError, match=r"x\.\S+: column 'a' holds .*, and should hold text"):
        list(shards.read([path], ("b",), ("a",), texts=("a", "b", "not there")))
    assert list(shards.read([path], ("b",), texts=("b",)))


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.7, 0.95])
def test_a_shard_that_was_cut_is_named(shard, keep):
    whole = shard.read_bytes()
    shard.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(UserError, match=r"x\.(parquet|arrow|jsonl).*(damaged|cut|fetch it again)"):
        read(shard)


def test_an_arrow_stream_cut_between_two_batches_is_not_taken_for_whole(spaced):
    path = write_stream(spaced / "x.arrow", ROWS)
    path.write_bytes(path.read_bytes()[: -len(shards.END_OF_STREAM)])
    with pytest.raises(UserError, match=r"x\.arrow is damaged.*it was cut"):
        read(path)


def test_a_page_that_was_overwritten_is_named(spaced):
    path = spaced / "x.parquet"
    rows = [{"a": f"{i}" * 50, "b": i} for i in range(5000)]
    pq.write_table(pa.Table.from_pylist(rows), path, compression="zstd", write_page_checksum=True)
    content = bytearray(path.read_bytes())
    content[200:260] = bytes(60)
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.parquet is damaged"):
        read(path)


def test_a_missing_shard_is_named(spaced):
    for number in (0, 2):
        write_parquet(spaced / f"train-{number:05d}-of-00003.parquet", ROWS)
    with pytest.raises(UserError, match=r"data\.pool: .*train-00001-of-00003\.parquet is missing"):
        shard_files.find("data.pool", spaced, ["train-*.parquet"])


def test_shards_whose_names_end_in_a_hash_are_counted_too(spaced):
    names = [f"train-{number:05d}-of-00003-{number:016x}.parquet" for number in range(3)]
    for name in names:
        write_parquet(spaced / name, ROWS)
    find = partial(shard_files.find, "data.pool", spaced, ["train-*.parquet"])
    assert [path.name for path in find()] == names
    write_parquet(spaced / f"train-00001-of-00003-{'f' * 16}.parquet", ROWS)
    with pytest.raises(UserError, match=r"00001-of-00003-.* are the same shard of two revisions"):
        find()
    for path in spaced.glob("train-00001-*"):
        path.unlink()
    with pytest.raises(UserError, match=r"train-00001-of-00003-….parquet is missing; train-00000"):
        find()


def test_a_folder_without_the_files_says_what_was_expected(spaced):
    write_lines(spaced / "other.jsonl", ROWS)
    with pytest.raises(
        UserError, match=r"a folder holds none of the files expected: t/\*\.parquet"
    ):
        shard_files.find("data.pool", spaced, ["t/*.parquet"])
    with pytest.raises(UserError, match="nowhere is missing"):
        shard_files.find("data.pool", spaced / "nowhere", ["t/*.parquet"])
    with pytest.raises(UserError, match=r"README\.md: expected a file of \.parquet"):
        (spaced / "README.md").write_text("hello")
        shard_files.find("data.pool", spaced / "README.md", ["t/*.parquet"])


def test_shards_are_in_the_order_of_their_names(spaced):
    for name in ("b", "a", "c"):
        write_parquet(spaced / "t" / f"{name}.parquet", ROWS)
    found = shard_files.find("data.pool", spaced, ["none/*", "t/*.parquet"])
    assert [path.name for path in found] == ["a.parquet", "b.parquet", "c.parquet"]


def test_rows_are_counted_by_footers_alone(spaced):
    path = write_parquet(spaced / "x.parquet", ROWS)
    assert shards.count([path, path]) == 20
    assert shards.count([path, write_lines(spaced / "x.jsonl", ROWS)]) is None


def test_a_digest_is_of_names_and_content_and_not_of_the_folder(spaced):
    first = write_lines(spaced / "one" / "x.jsonl", ROWS)
    second = write_lines(spaced / "two" / "x.jsonl", ROWS)
    of = shard_files.digest(first.parent, [first])
    assert of == shard_files.digest(second.parent, [second])
    assert of != shard_files.digest(first.parent, [first.rename(first.with_name("y.jsonl"))])
    second.write_bytes(second.read_bytes().replace(b"0", b"1"))
    assert of != shard_files.digest(second.parent, [second])


@pytest.mark.parametrize("at", [0, 1_000_003, 2_999_999, 3_071_999])
def test_a_large_file_that_was_cut_or_grew_has_another_digest(spaced, at, monkeypatch):
    monkeypatch.setattr(shard_files, "WHOLE_BYTES", 1 << 20)
    path = spaced / "x.jsonl"
    content = bytes(range(256)) * 12_000
    path.write_bytes(content)
    before = shard_files.digest(path, [path])
    for changed in (content[:at], content[:at] + content[at + 1 :], content[:at] + b"!" + content):
        path.write_bytes(changed)
        assert shard_files.digest(path, [path]) != before


def test_a_large_parquet_file_written_anew_has_another_digest(spaced, monkeypatch):
    monkeypatch.setattr(shard_files, "WHOLE_BYTES", 1 << 19)
    rows = [{"a": f"{i * 7919}" * 40} for i in range(20_000)]
    path = write_parquet(spaced / "x.parquet", rows)
    assert path.stat().st_size > shard_files.WHOLE_BYTES
    before = shard_files.digest(path, [path])
    rows[10_000]["a"] = rows[10_000]["a"] + "!"
    write_parquet(path, rows)
    assert shard_files.digest(path, [path]) != before
