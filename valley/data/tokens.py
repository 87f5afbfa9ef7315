"""The token cache: a training set is rendered and tokenised once, and every rank and restart reads that.

    <root>/<hh>/<hash16>/   tokens.bin      the documents' tokens, one after another, int32
                            bounds.npy      where each document begins, and where the last ends
                            prompts.npy     how many tokens of each are its prompt
                            meta.json       what it was made from, and the files' checksums

1. What decides the tokens (the texts' digest, template, tokenizer and `chat` settings) is hashed.
2. A folder of that name whose checksums hold is mapped into memory, and the texts are not read.
3. Else one process makes it while the others wait (see `valley.once`), in batches, on all cores that it
   may use, in a folder with a name of its own; renamed, the folder appears as a whole.

A damaged folder is set aside and made anew. The cache may be removed whenever no training is about to
start.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from valley.data.render import Chat, Document
from valley.disk import checksum
from valley.errors import UserError
from valley.once import once
from valley.processes import process_start
from valley.records import canonical_json, digest, write_text

logger = logging.getLogger(__name__)

SCHEMA = "valley.tokens/2"
"""Raise it where `render` comes to make other tokens of the same texts."""
FILES = ("tokens.bin", "bounds.npy", "prompts.npy")
BATCH_CHARACTERS = 4_000_000
"""Tokenised at once: enough for many cores, and little memory."""
SAY_EVERY_S = 10.0
TOKENIZER_FILES = ("tokenizer*", "vocab*", "merges*", "*tokens*.json", "*.model", "*.tiktoken")

Pair = tuple[str, str]


class Tokens(Sequence[Document]):
    """Tokenised documents, mapped into memory: pages are read as they are needed."""

    def __init__(
        self,
        tokens: npt.NDArray[np.int32],
        bounds: npt.NDArray[np.int64],
        prompts: npt.NDArray[np.int32],
        texts_digest: str,
    ) -> None:
        """Take the flat tokens, the n + 1 bounds of n documents, and their prompts' lengths."""
        self._tokens = tokens
        self._begins, self._ends, self._prompts = bounds[:-1], bounds[1:], prompts
        self.texts_digest = texts_digest
        """`digest` of the list of (prompt, response) pairs that were tokenised."""

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each document, prompt included."""
        return self._ends - self._begins

    def __len__(self) -> int:
        return len(self._begins)

    @overload
    def __getitem__(self, index: int) -> Document: ...
    @overload
    def __getitem__(self, index: slice) -> list[Document]: ...
    def __getitem__(self, index: int | slice) -> Document | list[Document]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        begin, end = int(self._begins[index]), int(self._ends[index])
        return Document(self._tokens[begin:end], int(self._prompts[index]))

    def where(self, wanted: npt.NDArray[np.bool_]) -> Tokens:
        """The documents for which `wanted` holds, in their order."""
        part = Tokens(self._tokens, np.zeros(1, np.int64), self._prompts[wanted], self.texts_digest)
        part._begins, part._ends = self._begins[wanted], self._ends[wanted]
        return part


def tokenized(
    root: Path,
    data: str,
    texts: Callable[[], Iterable[Pair]],
    chat: Chat,
    report: Callable[..., None] = lambda **_: None,
    examples: int | None = None,
    loaded: str | None = None,
) -> Tokens:
    """The tokens of a training set, from the cache below `root` or made for it.

    Every rank of a training calls this; one of them tokenises.

    Args:
        data: what decides the texts: their digest, or that of a subset's ids and their pool.
        texts: yields the (prompt, response) pairs; called only where they are not in the cache.
        report: told `step` and `steps` in examples while they are tokenised.
        examples: how many there are, for the report; None where that is not known.
        loaded: the `tokenizer_digest` of the chat's folder from before the tokenizer was loaded.

    Raises:
        UserError: the tokenizer's files have changed since; or see `Chat.documents`.
    """
    key = _key(data, chat)
    if loaded not in (None, key["tokenizer"]):
        # Else the one's tokens would be kept under the other's name.
        raise UserError(
            f"{chat.tokenizer.name_or_path}: the tokenizer's files changed while they were read; "
            "launch again once nobody writes there"
        )
    name = digest(key)
    folder = root / name[:2] / name[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)

    def make(beat: Callable[[], None]) -> Tokens:
        _clear(folder)
        _set_aside(folder)
        draft = folder.with_name(f".{folder.name}.{os.uname().nodename}.{os.getpid()}")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        try:
            said = _Said(beat, report, examples)
            _write(draft, key, chat, texts(), said)
            _publish(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        made = _open(folder, key)
        if made is None:
            raise OSError(f"{folder}: written a moment ago, and unreadable; is the disk at fault?")
        return made

    return once(folder.with_name(f"{folder.name}.claim"), lambda: _open(folder, key), make)


def _key(data: str, chat: Chat) -> dict[str, Any]:
    """All that decides the tokens."""
    return {
        "schema": SCHEMA,
        "data": data,
        "template": hashlib.sha256(chat.template.encode()).hexdigest(),
        "tokenizer": tokenizer_digest(chat.tokenizer.name_or_path),
        "libraries": {name: version(name) for name in ("tokenizers", "transformers")},
        "chat": chat.config.model_dump(mode="json"),
    }


def tokenizer_digest(folder: str) -> str:
    """A hash of a checkpoint's files that make its tokenizer; the template is hashed apart.

    Raises:
        UserError: there are none.
    """
    paths = {path for name in TOKENIZER_FILES for path in Path(folder).glob(name)} if folder else ()
    if not paths:
        raise UserError(
            f"{folder!r}: no folder with a tokenizer's files, by which it could be known"
        )
    hashed = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(paths)}
    return digest(hashed)


class _Said:
    """Word of the progress: to the claim, the job's folder and the log."""

    def __init__(
        self, beat: Callable[[], None], report: Callable[..., None], examples: int | None
    ) -> None:
        self.beat, self.report, self.examples = beat, report, examples
        self.began = self.last = time.monotonic()

    def __call__(self, documents: int, tokens: int) -> None:
        self.beat()
        of = self.examples or documents
        self.report(step=documents, steps=of, doing="tokenising")
        now = time.monotonic()
        if now - self.last >= SAY_EVERY_S or documents == of:
            self.last = now
            speed = tokens / max(now - self.began, 1e-9)
            logger.info(
                "tokenised %d of %d examples, %d tokens, %.0f/s", documents, of, tokens, speed
            )


def _write(
    folder: Path,
    key: dict[str, Any],
    chat: Chat,
    texts: Iterable[Pair],
    said: Callable[[int, int], None],
) -> None:
    """Tokenise the texts into the files of a new folder."""
    # Fed bit by bit, this becomes the `digest` of the list of pairs.
    hashed, separator = hashlib.sha256(b"["), b""
    of_tokens = tokens = 0
    lengths: list[int] = []
    prompts: list[int] = []
    with (folder / "tokens.bin").open("wb") as file:
        for batch in _batches(texts):
            for pair in batch:
                hashed.update(separator + canonical_json(pair).encode())
                separator = b","
            documents = chat.documents(batch)
            lengths += [len(document.tokens) for document in documents]
            prompts += [document.prompt_tokens for document in documents]
            flat = np.concatenate([np.asarray(d.tokens, np.int32) for d in documents])
            of_tokens = zlib.crc32(flat.data, of_tokens)
            file.write(flat.data)
            tokens += len(flat)
            said(len(lengths), tokens)
    hashed.update(b"]")
    tables: dict[str, npt.NDArray[Any]] = {
        "bounds.npy": np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        "prompts.npy": np.asarray(prompts, np.int32),
    }
    for name, values in tables.items():
        np.save(folder / name, values)
    sums = {name: checksum(folder / name) for name in tables}
    meta = {
        "schema": SCHEMA,
        "key": key,
        "documents": len(lengths),
        "tokens": tokens,
        "texts": hashed.hexdigest(),
        "crc32": {"tokens.bin": of_tokens, **sums},
    }
    # Nothing is synced: what a power cut leaves behind has wrong checksums.
    write_text(folder / "meta.json", canonical_json(meta) + "\n", sync=False)


def _batches(texts: Iterable[Pair]) -> Iterator[list[Pair]]:
    batch: list[Pair] = []
    characters = 0
    for pair in texts:
        batch.append(pair)
        characters += len(pair[0]) + len(pair[1])
        if characters >= BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _open(folder: Path, key: dict[str, Any]) -> Tokens | None:
    """What the folder holds; None where there is none, or where it is damaged, which is logged."""
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if meta["key"] != key:
            raise ValueError("made from something else")
        for name in FILES:
            if checksum(folder / name) != meta["crc32"][name]:
                raise ValueError(f"the checksum of {name} is wrong")
        bounds, prompts = np.load(folder / "bounds.npy"), np.load(folder / "prompts.npy")
        tokens = np.empty(0, np.int32)
        if meta["tokens"]:
            tokens = np.asarray(np.memmap(folder / "tokens.bin", np.int32, mode="r"))
        return Tokens(tokens, bounds, prompts, meta["texts"])
    except (OSError, ValueError, KeyError, TypeError, EOFError, RecursionError) as error:
        if folder.exists():
            logger.warning("%s: a damaged token cache (%s)", folder, error)
        return None


def _clear(folder: Path) -> None:
    """Remove what processes of this host that were killed have left of a folder."""
    mine = f".{folder.name}.{os.uname().nodename}", f".{folder.name}.damaged.{os.uname().nodename}"
    for left in folder.parent.glob(f".{folder.name}.*"):
        name, _, pid = left.name.rpartition(".")
        if name not in mine:
            continue
        if pid.isdigit() and process_start(int(pid)) is None:
            shutil.rmtree(left, ignore_errors=True)


def _set_aside(folder: Path) -> None:
    """Remove a damaged folder. It vanishes as a whole: who has it mapped keeps what they see."""
    aside = folder.with_name(f".{folder.name}.damaged.{os.uname().nodename}.{os.getpid()}")
    try:
        folder.rename(aside)
    except FileNotFoundError:
        return
    if aside.is_dir() and not aside.is_symlink():
        shutil.rmtree(aside, ignore_errors=True)
    else:  # somebody's file, or a link
        aside.unlink(missing_ok=True)


def _publish(draft: Path, folder: Path) -> None:
    try:
        draft.rename(folder)
    except OSError:
        # Another, who held this process for dead, was faster, and made the same.
        if not folder.exists():
            raise
