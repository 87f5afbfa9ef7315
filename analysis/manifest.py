"""A sweep's manifest in columns: which cells there are, and in which folders their jobs lie.

100,000 lines of JSON take half a second to parse, and a dict of each as long again to go through. So what the
lines say is kept beside the manifest, as `manifest.cache`, in columns: of what repeats itself, such as an axis,
the number of its value in a list of values. It is used while the manifest is the file that it was read from,
and thrown away with a note where it is damaged. Cells as dicts are made only when someone asks for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from cache import Mark, keep_table, kept_table, mark_of, not_used
from results import Key, Results, counted_rounds

from valley.errors import UserError
from valley.ledger import Ledger

if TYPE_CHECKING:
    import pyarrow as pa

NAME = "manifest.cache"
VERSION = "valley.manifest_cache/1"
KINDS = ("train", "generate", "grade")
LACKING = -1
"""The number of what a line does not have."""
_LACKS = object()


class Coded(NamedTuple):
    """A column of few values: of each line the number of its value, `LACKING` where it has none."""

    codes: np.ndarray
    values: list[Any]

    @classmethod
    def of(cls, found: list[Any]) -> Coded:
        """Number the values in their order; `_LACKS` stands for a line without one."""
        # 1, 1.0 and true are equal to Python, and not the same in a manifest; lists have no hash.
        types = set(map(type, found))
        told = found if len(types) == 1 and types <= {str, int, tuple} else list(map(repr, found))
        first = dict(zip(reversed(told), reversed(found), strict=True))
        kept = [key for key in dict.fromkeys(told) if first[key] is not _LACKS]
        numbers = {key: number for number, key in enumerate(kept)}
        codes = (numbers.get(key, LACKING) for key in told)
        return cls(np.fromiter(codes, np.int32, len(told)), [first[key] for key in kept])

    def items(self) -> list[Any]:
        """The value of each line, None where it has none."""
        return list(map([*self.values, None].__getitem__, self.codes.tolist()))

    def series(self) -> pd.Series:
        """The same as a table's column, of the type that pandas would find for all of them."""
        some_lack = not self.values or bool((self.codes < 0).any())
        values = pd.Series([*self.values, None] if some_lack else self.values)
        return values.take(self.codes).reset_index(drop=True)


@dataclass(frozen=True)
class Manifest:
    """What the lines of a manifest say, a line per (cell, profile)."""

    cells: list[str]
    profiles: Coded
    steps: Coded
    """Optimizer steps."""
    before: Coded
    """The folders of the jobs that a line's own rest on."""
    axes: dict[str, Coded]
    jobs: dict[str, pa.ChunkedArray]
    """The folder of each line's own job, by kind; null where it has none."""
    note: str = ""
    """Why what was kept of it could not be used or written; empty where it could."""

    @classmethod
    def of(cls, ledger: Ledger, results: Results) -> Manifest:
        """A sweep's manifest. Profiles that are drawn in rounds are of the newest that every cell has.

        Raises:
            UserError: it is missing or damaged, or names no cell.
        """
        path = ledger.folder / NAME
        mark = mark_of(ledger.manifest)
        note = ""
        try:
            if mark is not None and (kept := _kept(path, mark)) is not None:
                return kept
        except FileNotFoundError:
            pass
        except Exception as error:  # whatever a damaged file makes a parquet reader raise
            note = not_used(path, error)
        lines = {(line["cell"], line["profile"]): line for line in ledger.rows()}
        if not lines:
            raise UserError(
                f"{ledger.manifest}: names no cell; launch the sweep again to rewrite it"
            )
        found = _in_columns(counted_rounds(lines, results))
        # How many rounds every cell has changes with the results, and not with the manifest.
        if mark is not None and not any("earlier" in line for line in lines.values()):
            note = _keep(path, mark, found) or note
        return replace(found, note=note)

    def __len__(self) -> int:
        return len(self.cells)

    @cached_property
    def keys(self) -> list[Key]:
        """Cell and profile of each line."""
        return list(zip(self.cells, self.profiles.items(), strict=True))

    def axes_of_cells(self) -> dict[Key, dict[str, Any]]:
        """Each line's axes, as it spells them."""
        found: list[dict[str, Any]] = [{} for _ in self.cells]
        for name, coded in self.axes.items():
            for axes, code in zip(found, coded.codes.tolist(), strict=True):
                if code != LACKING:
                    axes[name] = coded.values[code]
        return dict(zip(self.keys, found, strict=True))

    def folders(self) -> dict[Key, dict[str, str]]:
        """The folders of each line's own jobs, by kind."""
        places = zip(*(self.jobs[kind].to_pylist() for kind in KINDS), strict=True)
        found = (
            {kind: place for kind, place in zip(KINDS, of_line, strict=True) if place is not None}
            for of_line in places
        )
        return dict(zip(self.keys, found, strict=True))

    def folders_of(self, row: int) -> dict[str, str]:
        """The same of one line."""
        places = {kind: self.jobs[kind][row].as_py() for kind in KINDS}
        return {kind: place for kind, place in places.items() if place is not None}

    def all_folders(self) -> tuple[list[str], dict[str, np.ndarray]]:
        """Every job's folder once, and of each line the number of its own there, by kind."""
        import pyarrow as pa

        every = pa.chunked_array([part for kind in KINDS for part in self.jobs[kind].chunks])
        encoded = every.combine_chunks().dictionary_encode()
        numbers = encoded.indices.fill_null(LACKING).to_numpy().reshape(len(KINDS), -1)
        return encoded.dictionary.to_pylist(), dict(zip(KINDS, numbers, strict=True))


def _in_columns(lines: Mapping[Key, Mapping[str, Any]]) -> Manifest:
    import pyarrow as pa

    values = list(lines.values())
    names = dict.fromkeys(name for line in values for name in line["axes"])

    def folders(kind: str) -> pa.ChunkedArray:
        return pa.chunked_array([[line["jobs"][kind] for line in values]], pa.large_string())

    def axis(name: str) -> list[Any]:
        return [line["axes"].get(name, _LACKS) for line in values]

    return Manifest(
        cells=[cell for cell, _ in lines],
        profiles=Coded.of([profile for _, profile in lines]),
        steps=Coded.of([line["steps"] for line in values]),
        before=Coded.of([tuple(line["before"]) for line in values]),
        axes={name: Coded.of(axis(name)) for name in names},
        jobs={kind: folders(kind) for kind in KINDS},
    )


def _kept(path: Path, mark: Mark) -> Manifest | None:
    """What was kept, where it is of the manifest that has this mark."""
    import pyarrow as pa

    table, notes = kept_table(path, VERSION)
    if notes["mark"] != list(mark):
        return None

    def coded(name: str) -> Coded:
        codes = table[f"code {name}"].to_numpy()
        values = notes["values"][name]
        if len(codes) and not LACKING <= codes.min() <= codes.max() < len(values):
            raise ValueError(f"{name}: a number without a value")
        return Coded(codes, values)

    return Manifest(
        cells=table["cell"].to_pylist(),
        profiles=coded("profile"),
        steps=coded("steps"),
        before=coded("before"),
        axes={name.removeprefix("axis "): coded(name) for name in notes["axes"]},
        jobs={kind: table[f"job {kind}"].cast(pa.large_string()) for kind in KINDS},
    )


def _keep(path: Path, mark: Mark, found: Manifest) -> str:
    """Keep a manifest for the next time; a sentence where that could not be."""
    columns = {"profile": found.profiles, "steps": found.steps, "before": found.before}
    axes = {f"axis {name}": coded for name, coded in found.axes.items()}
    columns |= axes
    texts = {"cell": found.cells, **{f"job {kind}": found.jobs[kind] for kind in KINDS}}
    codes = {f"code {name}": coded.codes for name, coded in columns.items()}
    notes = {"mark": mark, "axes": list(axes), "values": {n: c.values for n, c in columns.items()}}
    return keep_table(path, VERSION, texts | codes, notes)
