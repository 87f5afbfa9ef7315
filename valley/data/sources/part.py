"""A part of `source: corpus`: one data set with its settings, asked or learnt from.

Each part says what decides its content (`semantic`) and makes its reader (`open`). Where its files lie is
no part of what decides it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from valley.data.sources import shard_files, shards
from valley.data.sources.place import Place
from valley.errors import UserError


class Part(BaseModel):
    """A part without a place of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def absolute(path: str | None) -> str | None:
    """A path as jobs can use it, which start in other folders than the launcher."""
    return path and os.path.abspath(os.path.expanduser(path))


def not_there(*paths: str | None) -> list[str]:
    """The paths that do not exist, a sentence each."""
    return [f"{path} is missing" for path in paths if path and not os.path.exists(path)]


def file_digest(where: str, path: str) -> str:
    """What one file holds; see `shard_files.digest`.

    Raises:
        UserError: it is missing.
    """
    file = Path(path)
    if not file.is_file():
        raise UserError(f"{where}: {path} is missing; expected a file of JSON lines")
    return shard_files.digest(file, [file])


class FromPlace(Place):
    """A part that is the files of one place."""

    WHERE: ClassVar[str]

    def groups(self) -> list[list[str]]:
        """How its files are named; see `Place.find`."""
        raise NotImplementedError

    def paths(self) -> list[Path]:
        """Its files; those of the hub are fetched."""
        return self.find(self.WHERE, self.groups())

    def decided_by(self, *leave_out: str) -> dict[str, Any]:
        """The settings but for the place, and what decides the rows."""
        settings = self.model_dump(mode="json", exclude={*Place.model_fields, *leave_out})
        return {**settings, **self.identity(self.WHERE, self.groups())}

    def semantic(self) -> dict[str, Any]:
        """What decides its content."""
        return self.decided_by()

    def read_from(self) -> dict[str, Any]:
        """Where its content is from, for the provenance."""
        return self.provenance(self.WHERE, self.groups())

    def rows(self) -> int | None:
        """How many rows its files hold, where that is known without reading them."""
        return None if self.path is None else shards.count(self.paths())
