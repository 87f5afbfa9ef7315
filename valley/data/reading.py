"""The reading of a pool's traces: each gets its labels and its rank, and what may be kept is spilt.

A source of several shards is read by several processes, a shard at a time: a process takes the next one
once it has done with the last. What a trace gets rests on it alone, and what is kept is decided over all
of them afterwards (`keeper.py`), so that the pool is the same whoever read which shard.

    sieve     of each arm, the lowest ranks that a process has met (`sieve.py`)
    part      what reading one shard came to: an index of its rows, and where their texts were spilt
"""

from __future__ import annotations

import json
import logging
import multiprocessing
import re
from array import array
from collections import Counter, defaultdict, deque
from collections.abc import Container, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path

from pydantic_core import to_json

from valley.data.candidates import Parted, Reader
from valley.data.cleaning import Cleaning
from valley.data.index import Index
from valley.data.labels import CorrectnessRule, DifficultyRule
from valley.data.select import rank
from valley.data.sieve import Sieve
from valley.data.traces import Trace
from valley.errors import UserError
from valley.records import refuse_half_characters

logger = logging.getLogger(__name__)

MOST_PROCESSES = 4
"""Each holds up to 400 MiB of a shard of long texts, and all together should stay below 2 GiB."""
HALF = re.compile(rb"\\ud")
"""How JSON's spelling of half a character begins, and of many a whole one."""
_LINE = (
    f'{{"schema": "{Trace.SCHEMA}", "id": %s, "problem_id": %s, "thinking": %s, "answer": %s, '
    '"correct": %s, "difficulty": %s, "teacher": %s}\n'
).encode()


@dataclass(frozen=True)
class Rules:
    """What decides a trace's labels, and whether its text may be kept."""

    difficulty: DifficultyRule
    correctness: CorrectnessRule
    cleaning: Cleaning
    keep: int | None
    """Rows per arm; None keeps all."""
    data_seed: int
    copies: Mapping[int, Set[int]] = field(default_factory=dict)
    """By part, candidates that are passed over, by their number."""


@dataclass
class Part:
    """The rows of a shard, in their order. A row's line stands in the spill file if it has a size."""

    spill: Path
    index: Index = field(default_factory=Index)
    ranks: array[int] = field(default_factory=lambda: array("Q"))
    offsets: array[int] = field(default_factory=lambda: array("q"))
    sizes: array[int] = field(default_factory=lambda: array("q"))
    tally: Counter[str] = field(default_factory=Counter)
    """The reader's, where the source is read in parts."""
    removed: Counter[str] = field(default_factory=Counter)
    """Traces that were removed, by problem; likewise."""


def read_traces(reader: Reader, rules: Rules, folder: Path, workers: int) -> list[Part]:
    """Read all traces of a source; its parts, in order. The reader then counts all of them.

    Who reads a data set of several shards can do nothing about a row that stands in it twice: of those
    the first counts. They are found once all are read, which is then done again without them.

    Args:
        folder: where spill files are written.
        workers: processes that may be used.

    Raises:
        UserError: a trace is empty, or has half a character; or a shard is damaged.
    """
    parts = _read(reader, rules, folder, workers)
    if isinstance(reader, Parted) and (copies := _copies(parts)):
        rules.cleaning.traces.clear()
        parts = _read(reader, replace(rules, copies=copies), folder, workers)
        count = sum(map(len, copies.values()))
        reader.tally["candidates"] -= count
        reader.tally["left out: the trace of an earlier row"] += count
    return parts


def _copies(parts: Sequence[Part]) -> dict[int, set[int]]:
    """By part, the rows whose trace has the id of one before."""
    ids = [name for part in parts for name in part.index.ids]
    if len(set(ids)) == len(ids):
        return {}
    seen: set[str] = set()
    copies: dict[int, set[int]] = defaultdict(set)
    for number, part in enumerate(parts):
        for row, name in enumerate(part.index.ids):
            if name in seen:
                copies[number].add(row)
            seen.add(name)
    return copies


def _read(reader: Reader, rules: Rules, folder: Path, workers: int) -> list[Part]:
    """Read all traces once."""
    parts = len(reader.parts()) if isinstance(reader, Parted) and workers > 1 else 1
    if not isinstance(reader, Parted) or parts == 1:
        sieve = Sieve(rules.keep, folder / "traces.spill")
        try:
            return [read_part(reader, rules, sieve, rules.copies.get(0, ()))]
        finally:
            sieve.close()
    try:
        read = _read_by_helpers(reader, rules, folder, parts, min(workers, parts, MOST_PROCESSES))
    except (EOFError, BrokenPipeError, ConnectionResetError) as error:
        raise UserError(
            "a process that read traces was killed; was it short of memory? give the prepare jobs more "
            "(resources.prepare.memory_gib), or fewer cpus_per_task, each of which reads a shard"
        ) from error
    for part in read.values():
        rules.cleaning.traces.update(part.removed)
    reader.tally = sum((part.tally for part in read.values()), Counter())
    return [read[number] for number in range(parts)]


def _read_by_helpers(
    reader: Parted, rules: Rules, folder: Path, parts: int, count: int
) -> dict[int, Part]:
    """Have each part read by one of several processes."""
    read: dict[int, Part] = {}
    left = deque(range(parts))
    with _helpers(reader, rules, folder, count) as helpers:
        for helper in helpers:
            helper.send(left.popleft())
        busy = list(helpers)
        while busy:
            ready = wait(busy)
            for helper in [one for one in busy if one in ready]:
                number, said = helper.recv()
                if isinstance(said, Exception):
                    raise said
                read[number] = said
                if left:
                    helper.send(left.popleft())
                else:
                    busy.remove(helper)
    return read


@contextmanager
def _helpers(reader: Parted, rules: Rules, folder: Path, count: int) -> Iterator[list[Connection]]:
    """Processes that read parts, by the pipes that they are asked through."""
    # Not forked: threads of this process (the heart's, pyarrow's) may hold locks.
    context = multiprocessing.get_context("spawn")
    helpers: list[Connection] = []
    processes = []
    try:
        for number in range(count):
            mine, theirs = context.Pipe()
            spill = folder / f"traces.spill.{number}"
            process = context.Process(
                target=_serve, args=(theirs, reader, rules, spill), daemon=True
            )
            process.start()
            theirs.close()  # so that a process that dies ends the pipe
            helpers.append(mine)
            processes.append(process)
        yield helpers
        for helper in helpers:
            helper.send(None)
        for process in processes:
            process.join()
    finally:
        for process in processes:
            process.kill()
            process.join()


def _serve(asked: Connection, reader: Parted, rules: Rules, spill: Path) -> None:
    """Read the parts that this process is asked for, until there is no more, or nobody who asks."""
    parts = reader.parts()
    sieve = Sieve(rules.keep, spill)
    with suppress(EOFError, BrokenPipeError, KeyboardInterrupt):
        while (number := asked.recv()) is not None:
            rules.cleaning.traces.clear()
            said: Part | Exception
            try:
                said = read_part(parts[number], rules, sieve, rules.copies.get(number, ()))
                said.tally, said.removed = parts[number].tally, rules.cleaning.traces
            except Exception as error:
                if not isinstance(error, UserError):
                    logger.exception("part %d of the traces", number)
                said = error
            asked.send((number, said))


def read_part(reader: Reader, rules: Rules, sieve: Sieve, passed_over: Container[int] = ()) -> Part:
    """Read the traces of a reader.

    Args:
        passed_over: numbers of candidates that are not taken.

    Raises:
        UserError: as for `read_traces`.
    """
    part = Part(sieve.path)
    index, cleaning = part.index, rules.cleaning
    for number, candidate in enumerate(reader.candidates()):
        if number in passed_over:
            continue
        trace = candidate.trace
        if not (trace.thinking or trace.answer):
            raise UserError(f"trace {trace.id}: it has no thought and no answer; leave it out")
        if not trace.id.isascii():
            refuse_half_characters(f"trace {trace.id!a}", trace.id)
        level = rules.difficulty.of(candidate)
        correct, by = rules.correctness.of(candidate)
        removed = cleaning.reason(trace)
        row = index.add(
            trace,
            difficulty=level,
            correct=correct,
            correct_by=by,
            source=candidate.source,
            label=candidate.label,
            removed=removed,
        )
        if removed == "duplicate":
            index.duplicate_of[row] = cleaning.duplicate_of(trace) or ""
        place = rank(trace.id, rules.data_seed)
        offset = size = 0
        if not removed and sieve.lets_through(_arms(level, correct), place):
            line = _line(trace, level, correct)
            if not candidate.utf8 and HALF.search(line):
                refuse_half_characters(f"trace {trace.id!a}", f"{trace.thinking} {trace.answer}")
            offset, size = sieve.spill(line)
        part.ranks.append(place)
        part.offsets.append(offset)
        part.sizes.append(size)
    sieve.flush()
    return part


def _arms(difficulty: str | None, correct: bool | None) -> list[tuple[str, str]]:
    """Every arm that a trace is in."""
    name = "unknown" if correct is None else "correct" if correct else "incorrect"
    levels = ("all",) if difficulty is None else ("all", difficulty)
    return [(level, correctness) for level in levels for correctness in ("all", name)]


def _line(trace: Trace, difficulty: str | None, correct: bool | None) -> bytes:
    """A trace's line, as `records.record_line` spells it."""
    return _LINE % (
        spell(trace.id),
        spell(trace.problem_id),
        spell(trace.thinking),
        spell(trace.answer),
        b"null" if correct is None else b"true" if correct else b"false",
        b"null" if difficulty is None else spell(difficulty),
        spell(trace.teacher),
    )


def spell(text: str) -> bytes:
    """What `json.dumps` makes of a text; of one in ASCII in a quarter of its time.

    >>> spell('so "x" is\\n2') == json.dumps('so "x" is\\n2').encode()
    True
    """
    # Both escape the same but for DEL.
    if text.isascii() and "\x7f" not in text:
        return to_json(text)
    return json.dumps(text).encode()
