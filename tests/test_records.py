from __future__ import annotations

import pytest

from valley.data.traces import Trace
from valley.errors import UserError
from valley.records import read_records, write_records


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
