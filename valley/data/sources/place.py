"""A place: where a data set lies, a local folder or file, or a pinned revision on the hub.

What decides the rows is the hub's revision, or the digest of the local files (see `shard_files`). A loading
script is never run: the hub's data sets are read as the files that they consist of.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from valley.commit import COMMIT, Commit
from valley.data.sources import shard_files
from valley.errors import UserError

Groups = Sequence[Sequence[str]]


class Place(BaseModel):
    """Where a data set lies."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str | None = None
    """A folder as `hf download` leaves it, a folder of Parquet, Arrow or JSON-lines files, or one file."""
    hub: str | None = Field(None, pattern=r"^[\w.-]+/[\w.-]+$")
    """A data set's id on the hub, such as nvidia/OpenCodeReasoning-2."""
    revision: Commit | None = None
    """The commit, all 40 digits: a branch or tag can move. Beside `path`, what the files must be of."""
    files: str | None = None
    """The files by a pattern below the folder, where they are named unlike the published ones;
    in `questions`, `{split}` stands for the split."""

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: str | None) -> str | None:
        # Jobs start in other folders than the launcher. A link is not followed: the hub's cache
        # names its files by links, and the names are needed.
        return path and os.path.abspath(os.path.expanduser(path))

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.path is None) == (self.hub is None):
            raise ValueError("expected `path` (local files) or `hub` (an id), and one of them only")
        if self.hub is not None and self.revision is None:
            raise ValueError(
                f"hub {self.hub} needs a `revision`: the commit's 40 digits, which pin the rows"
            )
        return self

    def missing(self) -> list[str]:
        """What is not there, a sentence each. What is on the hub counts as there."""
        if self.path is None or os.path.exists(self.path):
            return []
        return [f"{self.path} is missing"]

    def identity(self, where: str, groups: Groups) -> dict[str, Any]:
        """What decides the rows.

        Args:
            where: the setting that this is, for messages.
            groups: how the files are named; see `find`.

        Raises:
            UserError: local files are missing, or of another revision.
        """
        if self.path is None:
            pinned = {"hub": self.hub, "revision": self.revision}
            return pinned if self.files is None else {**pinned, "files": self.files}
        return {"digest": shard_files.digest(Path(self.path), self.find(where, groups))}

    def provenance(self, where: str, groups: Groups) -> dict[str, Any]:
        """What was read: `identity`, the revision where one is stated, and the files' number."""
        paths = self.find(where, groups)
        said: dict[str, Any] = {**self.identity(where, groups), "files": len(paths)}
        if self.path is not None and self.revision is not None:
            known = any(_revision_of(Path(self.path), path) for path in paths)
            said |= {"revision": self.revision, "revision_checked": known}
        return said

    def find(self, where: str, groups: Groups, needed: bool = True) -> list[Path]:
        """The data set's files; those of the hub are fetched where the hub's cache lacks them.

        Args:
            where: the setting that this is, for messages.
            groups: patterns of the files' names, the likeliest first, for each group of them.
            needed: whether it is an error if a group has none.

        Raises:
            UserError: they are missing, of another revision, or cannot be fetched.
        """
        groups = [[self.files]] if self.files is not None else groups
        if self.path is None:
            root = self._fetched(where, [pattern for group in groups for pattern in group])
            if not needed and not root.exists():  # nothing of this name is on the hub
                return []
        else:
            root = Path(self.path)
        if root.is_file() and self.files is not None:
            raise UserError(
                f"{where}: files {self.files!r} has no effect, since path {self.path} is one file; leave "
                "`files` out, or give the folder"
            )
        # A path that is a file is all there is, whatever it is called.
        groups = groups[:1] if root.is_file() else groups
        paths = [path for group in groups for path in shard_files.find(where, root, group, needed)]
        for path in paths if self.revision else []:
            found = _revision_of(root, path)
            if found is not None and found != self.revision:
                raise UserError(
                    f"{where}: {path} is of revision {found}, {self.revision} expected; fetch that "
                    "one, or correct `revision`"
                )
        return paths

    def for_split(self, split: str) -> Place:
        """The same, with `{split}` in `files` filled in."""
        if self.files is None:
            return self
        return self.model_copy(update={"files": self.files.replace("{split}", split)})

    def _fetched(self, where: str, patterns: Sequence[str]) -> Path:
        try:
            from huggingface_hub import snapshot_download
            from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
        except ImportError as error:
            raise UserError(
                f"{where}: reading from the hub needs the package huggingface_hub; install "
                "valley[train], or fetch the files and give their `path`"
            ) from error
        assert self.hub is not None
        try:
            return Path(
                snapshot_download(
                    self.hub,
                    repo_type="dataset",
                    revision=self.revision,
                    allow_patterns=list(patterns),
                )
            )
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise UserError(
                f"{where}: {self.hub} at {self.revision} is not in the hub's cache and cannot be "
                f"fetched ({first[:200]}); where the hub is out of reach, fetch it elsewhere (hf "
                f"download {self.hub} --repo-type dataset --revision {self.revision} --local-dir "
                "FOLDER) and give `path: FOLDER`"
            ) from error


def _revision_of(root: Path, path: Path) -> str | None:
    """The commit that a file was fetched from, as its place or its download's record says."""
    for folder in path.parents:
        if folder.parent.name == "snapshots" and COMMIT.fullmatch(folder.name):
            return folder.name
    base = root if root.is_dir() else root.parent
    name = path.relative_to(base).as_posix()
    record = base / ".cache" / "huggingface" / "download" / f"{name}.metadata"
    try:
        first = record.read_text(encoding="utf-8").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError):
        return None
    return first if COMMIT.fullmatch(first) else None


def split_patterns(split: str) -> list[str]:
    """How the published data sets, and the hub's conversions of them, name the files of a split."""
    return [
        f"{split}/*.parquet",
        f"data/{split}-*.parquet",
        f"{split}-*.parquet",
        f"{split}.parquet",
        f"ALL/{split}/*.parquet",
        f"all/{split}/*.parquet",
        f"default/{split}/*.parquet",
        f"{split}/*.arrow",
        f"{split}-*.arrow",
        f"{split}.jsonl",
        f"{split}.jsonl.gz",
        f"ALL/{split}-*.parquet",
        f"all/{split}-*.parquet",
    ]
