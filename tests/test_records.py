from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from valley.data.traces import Trace
from valley.errors import UserError
from valley.records import parse_json, read_lines, read_objects, read_records, write_records


def test_records_come_back_as_they_were(spaced):
    traces = [Trace(str(i), "p", "a thought, \u00e4", "an answer\u2028\n") for i in range(3)]
    write_records(spaced / "t.jsonl", traces)
    assert read_records(spaced / "t.jsonl", Trace) == traces


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"schema": "valley.trace/1"\n', r"t.jsonl, line 2: not JSON"),
        (b'{"id": "\xff"}\n', r"t.jsonl, line 2: not UTF-8"),
        (b"[1]\n", r"t.jsonl, line 2: found '\[1\].*expected an object"),
        (b"{}\n", r"t.jsonl, line 2: schema None found, 'valley.trace/1' expected"),
        (
            b'{"schema": "valley.trace/1", "idd": 1}\n',
            r"line 2: unknown field 'idd'; known: answer",
        ),
        (b'{"schema": "valley.trace/1", "id": "x"}\n', r"line 2: .*missing"),
    ],
)
def test_a_fault_is_told_with_its_line(spaced, content, message):
    path = spaced / "t.jsonl"
    write_records(path, [Trace("0", "p", "", "")])
    path.write_bytes(path.read_bytes() + content)
    with pytest.raises(UserError, match=message):
        read_records(path, Trace)


def test_a_missing_file_is_named(spaced):
    with pytest.raises(UserError, match=r"t.jsonl: cannot be read \(No such file"):
        read_records(spaced / "t.jsonl", Trace)


def test_a_fault_while_records_are_written_leaves_the_file_as_it_was(spaced):
    path = spaced / "t.jsonl"
    write_records(path, [Trace("0", "p", "", "")])
    before = path.read_bytes()

    def broken():
        yield Trace("1", "p", "", "")
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_records(path, broken())
    assert path.read_bytes() == before and list(spaced.iterdir()) == [path]


JSON_TEXTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON_TEXTS)
def test_a_value_is_read_as_the_standard_reader_reads_it(value):
    content = json.dumps(value).encode()
    assert repr(parse_json(content)) == repr(json.loads(content))


@pytest.mark.parametrize("content", [b"", b"{", b"1 2", b'"\xff"', b"\xff\xfe", b"[" * 2000])
def test_what_is_not_json_is_told_as_the_standard_reader_tells_it(content):
    with pytest.raises((ValueError, RecursionError)) as theirs:
        json.loads(content)
    with pytest.raises(type(theirs.value), match=re.escape(str(theirs.value))):
        parse_json(content)


def test_half_a_surrogate_pair_is_read():
    assert parse_json(b'{"text": "\\ud800"}') == {"text": "\ud800"}


def test_all_lines_at_once_are_those_one_by_one_and_so_are_their_faults(spaced):
    path = spaced / "lines.jsonl"
    path.write_text('{"a": 1}\n{"a": "\\ud800"}\n', encoding="utf-8")
    assert read_objects(path) == [line for _, line in read_lines(path)]
    for fault in ("[1]", "{", "{} {}"):
        path.write_text(f'{{"a": 1}}\n{fault}\n', encoding="utf-8")
        with pytest.raises(UserError, match="line 2"):
            read_objects(path)
    with pytest.raises(UserError, match="cannot be read"):
        read_objects(spaced / "none.jsonl")
