"""One grading, from files to a file, that may be broken off at any moment and gone on with.

Beside the verdicts, `V.jsonl`, stands `V.jsonl.grading`: its first line says what is graded and how, each
further one is a verdict, written as soon as it is known. When all are known `V.jsonl` is written whole, in
the samples' order, and only the first line stays. So a kill at any moment loses the programs that were
running, and what is there is never mixed with verdicts on other inputs or by other settings.

Infrastructure errors are not kept: the next start tries them again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path
from typing import Any

from valley.data.problem_file import ProblemFile
from valley.data.problems import Problem
from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.evaluate.grade import Program, grade_programs, programs_of
from valley.evaluate.outputs import check_outputs
from valley.evaluate.samples import Sample, Verdict
from valley.records import (
    canonical_json,
    iterate_records,
    parse_record,
    read_records,
    record_line,
    write_records,
)

log = logging.getLogger(__name__)

SCHEMA = "valley.grading/1"
LOCK_POLL_S = 0.5

Progress = Callable[[int, int, int], None]
"""Called with the samples done, how many of them an earlier start had done, and their total."""


@dataclass(frozen=True)
class Graded:
    """What a grading came to: the problems, still on the disk, and the verdicts on all samples."""

    problems: ProblemFile
    verdicts: list[Verdict]


def grade_files(
    problems: Path,
    samples: Path,
    out: Path,
    config: GradeConfig,
    *,
    workers: int = 1,
    progress: Progress = lambda done, kept, total: None,
    restart: bool = False,
    wait_s: float = 0.0,
    earlier: tuple[Path, Path] | None = None,
) -> Graded:
    """Grade the samples of a file, go on with what an earlier start left, and write the verdicts.

    Args:
        restart: throw away what was graded from other inputs or by other settings; else it is refused.
        wait_s: how long to wait for another process that grades into the same file; a network file
            system may take a while to see that one has died with its machine.
        earlier: the samples and the verdicts of an earlier grading by the same settings, whose verdicts
            on samples that are the same are taken over.

    Raises:
        UserError: as for `grade`; a file cannot be read or written, or is both input and output; a sample
            is there twice; another process grades into the same file; or what is there was graded otherwise.
    """
    check_outputs(
        {"the problems": problems, "the samples": samples},
        {"the verdicts": out, "the notes on the verdicts": notes_of(out)},
    )
    known = ProblemFile(problems)
    if not known and next(iterate_records(samples, Sample), None) is not None:
        raise UserError(
            f"{problems}: holds no problem; expected {Problem.SCHEMA} records, one a line"
        )
    programs = programs_of(known, iterate_records(samples, Sample), config, samples)
    position = _positions(samples, programs)
    header = {
        "schema": SCHEMA,
        "problems": _sha256(problems),
        "samples": _sha256(samples),
        # How they are counted is no matter of the verdicts.
        "settings": config.model_dump(mode="json", exclude={"k"}),
    }
    with _notes(out, wait_s) as notes:
        verdicts: dict[int, Verdict] = {}
        if earlier is not None:
            verdicts = {
                position[v.problem_id, v.index]: v for v in _taken_over(samples, *earlier, header)
            }
        for verdict in _begin(notes, out, header, restart):
            key = verdict.problem_id, verdict.index
            if key not in position:
                raise UserError(
                    f"{out}: sample {key[1]} of problem {key[0]!r} is not among those of {samples}; "
                    "the verdicts were changed by hand: begin anew with --restart"
                )
            if verdict.status != "infrastructure_error":
                verdicts[position[key]] = verdict
        kept, left = len(verdicts), [i for i in range(len(programs)) if i not in verdicts]

        def done(place: int, verdict: Verdict) -> None:
            verdicts[left[place]] = verdict
            notes.write(record_line(verdict).encode())
            notes.flush()
            progress(len(verdicts), kept, len(programs))

        asked = [programs[i] for i in left]
        grade_programs(known, asked, config, done, workers=workers, where=known.where)
        ordered = [verdicts[i] for i in range(len(programs))]
        if left or earlier or not out.exists():
            write_records(out, ordered)
        notes.truncate(len(_header_line(header)))
    return Graded(known, ordered)


def _positions(samples: Path, programs: list[Program]) -> dict[tuple[str, int], int]:
    position: dict[tuple[str, int], int] = {}
    for i, program in enumerate(programs):
        first = position.setdefault((program.problem_id, program.index), i)
        if first != i:
            raise UserError(
                f"{samples}, line {i + 1}: sample {program.index} of problem {program.problem_id!r} is there "
                f"twice, in line {first + 1} too; give it another index, or leave one out"
            )
    return position


def notes_of(out: Path) -> Path:
    """The file beside the verdicts."""
    return out.with_name(f"{out.name}.grading")


@contextmanager
def _notes(out: Path, wait_s: float) -> Iterator[BufferedRandom]:
    """The file beside the verdicts, held against a second process until this one ends."""
    path = notes_of(out)
    try:
        path.touch()
        file = path.open("r+b")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error
    with file:
        deadline = time.monotonic() + wait_s
        while not _locked(file):
            if time.monotonic() >= deadline:
                raise UserError(
                    f"{path}: another process grades into {out}; wait for it, or name another file"
                )
            time.sleep(LOCK_POLL_S)
        yield file


def _locked(file: BufferedRandom) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # some parallel file systems are mounted without locks
        log.warning(
            "%s: cannot be locked (%s); see that nobody else grades into it", file.name, error
        )
    return True


def _begin(
    notes: BufferedRandom, out: Path, header: dict[str, Any], restart: bool
) -> list[Verdict]:
    """Make the notes ready to be appended to; returns the verdicts that are there."""
    first, *lines = notes.read().split(b"\n")[:-1] or [b""]  # a line without its end is a part
    before = _header(first)
    verdicts: list[Verdict] = []
    if before == header:
        verdicts = read_records(out, Verdict) if out.exists() else []
        end = len(first) + 1
        for line in lines:
            try:
                verdicts.append(parse_record("", line, Verdict))
            except UserError:  # a machine that went down may have left anything from here on
                break
            end += len(line) + 1
        notes.truncate(end)
        notes.seek(end)
        return verdicts
    if not restart and (before is not None or out.exists()):
        raise UserError(_difference(out, before, header))
    out.unlink(missing_ok=True)
    notes.truncate(0)
    notes.seek(0)
    notes.write(_header_line(header))
    notes.flush()
    return verdicts


def _taken_over(
    samples: Path, before: Path, verdicts: Path, header: dict[str, Any]
) -> Iterator[Verdict]:
    """The verdicts of an earlier grading that hold of these samples too."""
    try:
        with notes_of(verdicts).open("rb") as notes:
            if _header(notes.readline()) != {**header, "samples": _sha256(before)}:
                return
    except OSError:  # to take them over is a saving alone
        return
    texts = {(s.problem_id, s.index): _digest(s) for s in iterate_records(before, Sample)}
    alike = {
        (s.problem_id, s.index)
        for s in iterate_records(samples, Sample)
        if texts.get((s.problem_id, s.index)) == _digest(s)
    }
    for verdict in iterate_records(verdicts, Verdict):
        if (
            verdict.problem_id,
            verdict.index,
        ) in alike and verdict.status != "infrastructure_error":
            yield verdict


def _digest(sample: Sample) -> bytes:
    return hashlib.sha256(sample.text.encode()).digest()


def _header(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and value.get("schema") == SCHEMA else None


def _header_line(header: dict[str, Any]) -> bytes:
    return f"{canonical_json(header)}\n".encode()


def _difference(out: Path, before: dict[str, Any] | None, header: dict[str, Any]) -> str:
    remedy = "name another file for the verdicts, or begin anew with --restart"
    if before is None:
        return f"{out}: is there, and nothing beside it says what it was graded from; {remedy}"
    names = [name for name in ("problems", "samples") if before.get(name) != header[name]]
    told = [f"from other {name}" for name in names]
    old, new = before.get("settings", {}), header["settings"]
    told += [
        f"with {name} {old.get(name)} and not {new.get(name)}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    return f"{out}: was graded {', '.join(told)}; {remedy}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
