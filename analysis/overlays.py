"""Published points that are drawn beside a sweep's own: numbers from a data file, each with its source."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from sentences import Document

from valley.errors import UserError

EXAMPLE = "analysis/overlays/paper.json is an example"
FOLDER = Path(__file__).parent / "overlays"


class Point(BaseModel):
    """A published score. `source` says where it stands, `confidence` how it is known."""

    model_config = ConfigDict(extra="forbid")

    size: int = Field(ge=0)
    score: float = Field(ge=0, le=1)
    approximate: bool = False
    source: str
    confidence: str


class Series(BaseModel):
    """The points of one student."""

    model_config = ConfigDict(extra="forbid")

    name: str
    points: list[Point] = Field(min_length=1)


class Overlay(BaseModel):
    """A data file of `--overlay`."""

    model_config = ConfigDict(extra="forbid")

    label: str
    evaluation: str
    note: str
    series: list[Series] = Field(min_length=1)


def load(name: str) -> Document:
    """The overlay of a name that ships, or of a path.

    Raises:
        UserError: there is none, or it is not as `Overlay` has it.
    """
    shipped = FOLDER / f"{name}.json"
    path = shipped if shipped.is_file() else Path(name)
    if not path.is_file():
        names = ", ".join(sorted(file.stem for file in FOLDER.glob("*.json")))
        raise UserError(f"--overlay {name}: no such overlay or file; overlays that ship: {names}")
    try:
        return Overlay.model_validate(json.loads(path.read_text(encoding="utf-8"))).model_dump()
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UserError(f"--overlay {path}: {faults} ({EXAMPLE})") from error
    except (ValueError, OSError) as error:
        raise UserError(f"--overlay {path}: not JSON ({error}; {EXAMPLE})") from error
