"""What finished jobs took, held against what was estimated at their launch.

Not every result is read: a hundred of a kind say how fast it works, and a status must be quick.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from valley.store import Store

MOST_READ = 100
"""Results of a kind."""


@dataclass(frozen=True)
class Spent:
    """Of the jobs of one kind that were looked at: what was estimated, and what they took."""

    jobs: int
    estimated_h: float
    measured_h: float

    @property
    def ratio(self) -> float | None:
        """How many times as long they took; None where nothing was estimated."""
        return self.measured_h / self.estimated_h if self.estimated_h else None


def measured_against_estimated(store: Store, places: Iterable[str]) -> dict[str, Spent]:
    """By kind, what finished jobs took against what the preview assumed at their launch, in hours.

    Of many jobs of a kind a hundred are read, spread over all. Results without an estimate, of
    earlier versions, are left out.

    Args:
        places: folders of jobs relative to the store, as a manifest names them.
    """
    by_kind: dict[str, list[str]] = {}
    for place in dict.fromkeys(places):
        by_kind.setdefault(place.partition("/")[0], []).append(place)
    spent = {}
    for kind, of_kind in by_kind.items():
        costs = [
            result["cost"]
            for place in of_kind[:: 1 + len(of_kind) // MOST_READ]
            if (result := store.result(kind, place[-16:])) and "estimated_s" in result["cost"]
        ]
        if costs:
            estimated_s = sum(cost["estimated_s"] for cost in costs)
            measured_s = sum(cost["wall_s"] for cost in costs)
            spent[kind] = Spent(len(costs), estimated_s / 3600, measured_s / 3600)
    return spent
