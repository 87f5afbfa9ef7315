"""The files of a data set, its shards: which they are, and what they are known by.

Shards are known by `digest`: each one's name, size and, since the real ones are dozens of gigabytes that
every launch would have to read, not all of its bytes: a Parquet file's footer (which holds each column's
sizes and offsets) and eight blocks spread evenly over the file; all bytes of a small file. A file that was
cut, exchanged or written anew differs; one in which somebody changed a few bytes in place may not.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from valley.errors import UserError
from valley.records import digest as digest_of

WHOLE_BYTES = 16 << 20
SAMPLED_BLOCKS, BLOCK_BYTES = 8, 1 << 16
NUMBERED = re.compile(
    r"(?P<head>.*)-(?P<number>\d{5})-of-(?P<total>\d{5})(?P<hash>-[0-9a-f]{16})?(?P<suffix>\..*)"
)
"""`train-00003-of-00070.parquet`; in older data sets, such as code_contests, with a hash behind it."""
LINES = (".jsonl", ".jsonl.gz")
SUFFIXES = (".parquet", ".arrow", *LINES)


def choose(names: Iterable[str], patterns: Sequence[str]) -> list[str]:
    """The names that the first pattern with any match fits, in order; a `*` stays within a folder.

    >>> choose(["README.md", "data/train-1.parquet", "old/train-1.parquet"], ["train/*", "data/train-*"])
    ['data/train-1.parquet']
    """
    names = sorted(names)
    for pattern in patterns:
        depth = len(PurePosixPath(pattern).parts)
        chosen = [
            name
            for name in names
            if len(PurePosixPath(name).parts) == depth and PurePosixPath(name).match(pattern)
        ]
        if chosen:
            return chosen
    return []


def find(where: str, root: Path, patterns: Sequence[str], needed: bool = True) -> list[Path]:
    """The shards below a folder, in the order of their names; or the one file that `root` is.

    Args:
        where: the setting that names the folder, for messages.
        needed: whether it is an error if the folder holds none.

    Raises:
        UserError: the folder or a shard is missing, or none is of a known format.
    """
    if root.is_file():
        paths = [root]
    elif root.is_dir():
        names = [
            path.relative_to(root).as_posix()
            for pattern in patterns
            for path in root.glob(pattern)
            if path.is_file()
        ]
        paths = [root / name for name in choose(set(names), patterns)]
    else:
        raise UserError(f"{where}: {root} is missing; expected a folder with {_listed(patterns)}")
    if not paths and needed:
        raise UserError(
            f"{where}: {root} holds none of the files expected: {_listed(patterns)}; give the path of "
            "the data set's own folder, or name its files by `files`"
        )
    for path in paths:
        if not path.name.endswith(SUFFIXES):
            raise UserError(f"{where}: {path}: expected a file of {', '.join(SUFFIXES)}")
    _check_numbers(where, paths)
    return paths


def _listed(patterns: Sequence[str]) -> str:
    return " or ".join(patterns)


def _check_numbers(where: str, paths: Sequence[Path]) -> None:
    """Refuse shards of which one is missing or there twice: their names say how many there are."""
    there: dict[tuple[Path, str, str, str], dict[int, Path]] = {}
    for path in paths:
        if match := NUMBERED.fullmatch(path.name):
            tail = ("-…" if match["hash"] else "") + match["suffix"]
            numbers = there.setdefault((path.parent, match["head"], match["total"], tail), {})
            first = numbers.setdefault(int(match["number"]), path)
            if first != path:
                raise UserError(
                    f"{where}: {path} and {first.name} are the same shard of two revisions; leave one"
                )
    for (folder, head, total, tail), numbers in there.items():
        for number in range(int(total)):
            if number not in numbers:
                other = next(iter(numbers.values())).name
                raise UserError(
                    f"{where}: {folder / f'{head}-{number:05d}-of-{total}{tail}'} is missing; {other} "
                    f"says that there are {int(total)}"
                )


def digest(root: Path, paths: Sequence[Path]) -> str:
    """What the shards hold, in 64 hexadecimal digits; see the head of this module.

    Raises:
        UserError: one cannot be read.
    """
    base = root if root.is_dir() else root.parent
    return digest_of([[path.relative_to(base).as_posix(), *_looked_at(path)] for path in paths])


def _looked_at(path: Path) -> list[Any]:
    with readable(path):
        stat = path.stat()
        return [stat.st_size, _sampled(path, stat.st_size, stat.st_mtime_ns)]


@functools.lru_cache(maxsize=4096)
def _sampled(path: Path, size: int, mtime_ns: int) -> str:
    hasher = hashlib.sha256()
    with path.open("rb") as file:
        if size <= WHOLE_BYTES:
            return hashlib.file_digest(file, "sha256").hexdigest()
        step = (size - BLOCK_BYTES) // (SAMPLED_BLOCKS - 1)
        for block in range(SAMPLED_BLOCKS):
            hasher.update(os.pread(file.fileno(), BLOCK_BYTES, block * step))
        if path.name.endswith(".parquet"):
            tail = os.pread(file.fileno(), 8, size - 8)
            footer = int.from_bytes(tail[:4], "little")
            if tail[4:] == b"PAR1" and footer < size - 8:
                hasher.update(os.pread(file.fileno(), footer, size - 8 - footer))
    return hasher.hexdigest()


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Tell what cannot be read of a file in one sentence."""
    try:
        yield
    except UserError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing") from error
    except (OSError, EOFError, ValueError) as error:  # pyarrow's own errors are of these too
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{path} is damaged, or not of the format that its name says ({first[:200]}); "
            "fetch it again"
        ) from error
