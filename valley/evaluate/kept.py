"""Kept samples: what a generation has finished so far, so that one that is broken off loses little.

The file's first line says what is generated and by what, each further one is a sample, written as soon
as it is there. Samples of other requests, of another backend or of another of its versions are thrown
away: one set of answers is made in one way.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, TextIO

from valley.errors import UserError
from valley.evaluate.samples import Sample
from valley.records import canonical_json, parse_record, record_line, write_text

logger = logging.getLogger(__name__)

SCHEMA = "valley.generating/1"


class KeptSamples:
    """The samples in a file that may be broken off anywhere."""

    def __init__(self, path: Path | None, made: dict[str, Any]) -> None:
        """Read what an earlier start left.

        Args:
            path: None keeps nothing.
            made: what the samples are made from and by; others' are thrown away.
        """
        self.path = path
        self.samples: dict[tuple[str, int], Sample] = {}
        """By problem and index."""
        self._header = {"schema": SCHEMA, **made}
        self._file: TextIO | None = None
        if path is not None and path.exists():
            self._read(path.read_bytes())

    def _read(self, content: bytes) -> None:
        first, *lines = content.split(b"\n")[:-1] or [b""]  # a line without its end is a part
        if not _is(first, self._header):
            logger.warning("%s: of another generation; what it keeps is not used", self.path)
            return
        for line in lines:
            try:
                sample = parse_record("", line, Sample)
            except UserError:  # a machine that went down may have left anything from here on
                return
            self.samples[sample.problem_id, sample.index] = sample

    def keep_only(self, keys: Collection[tuple[str, int]]) -> None:
        """Throw the others away, and make the file ready to be added to."""
        self.samples = {key: self.samples[key] for key in keys if key in self.samples}
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        lines = [canonical_json(self._header) + "\n", *map(record_line, self.samples.values())]
        write_text(self.path, "".join(lines), sync=False)
        self._file = self.path.open("a", encoding="utf-8")

    def add(self, samples: Iterable[Sample]) -> None:
        """Write finished samples behind the others."""
        new = {(sample.problem_id, sample.index): sample for sample in samples}
        if self._file is not None:
            self._file.write("".join(map(record_line, new.values())))
            self._file.flush()
        self.samples |= new

    def close(self) -> None:
        """Leave the file, when all is written."""
        if self._file is not None:
            self._file.close()


def _is(line: bytes, header: dict[str, Any]) -> bool:
    try:
        return bool(json.loads(line) == header)
    except ValueError:
        return False
