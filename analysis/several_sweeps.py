"""One table of several sweeps, in which a score that they share stands once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from valley.sweep import NAMED_AXES

if TYPE_CHECKING:
    from collect import Collected


def together(sweeps: list[Collected]) -> pd.DataFrame:
    """One table of several sweeps, with the column `sweep` first.

    A score that several sweeps share, by the identities of the jobs behind it, is one row: that of the
    first sweep that has it, with the names of all in `sweep`, a `;` between them.
    """
    named: dict[tuple[str, ...], list[str]] = {}
    kept = []
    for collected in sweeps:
        keys = list(zip(collected.table["cell"], collected.table["profile"], strict=True))
        identities = [_identities(collected.places[key]) for key in keys]
        kept.append(collected.table[[one not in named for one in identities]])
        for one in identities:
            named.setdefault(one, []).append(collected.sweep)
    table = pd.concat(kept, ignore_index=True)
    first = [*NAMED_AXES]
    later = ("cell", "profile", "state", "steps")
    axes = sorted({axis for one in sweeps for axis in one.axes} - set(first))
    rest = [name for name in table.columns if name not in {*first, *later, *axes}]
    table = table[[*first, *axes, *later, *rest]]
    table.insert(0, "sweep", [";".join(dict.fromkeys(names)) for names in named.values()])
    return table


def _identities(places: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(place.rpartition("-")[2] for _, place in sorted(places.items()))
