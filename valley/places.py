"""Places: in which element of which submission each job was submitted last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from valley.cluster import slurm
from valley.cluster.orphans import find_orphans
from valley.ledger import Submission


class Named(Protocol):
    """A job, or whatever else says a job's kind and identity."""

    @property
    def kind(self) -> str: ...  # noqa: D102
    @property
    def identity(self) -> str: ...  # noqa: D102


@dataclass(frozen=True)
class Ticket:
    """A job as a manifest names it: by its folder, which carries a quarter of its identity."""

    kind: str
    identity: str
    label: str = ""

    @classmethod
    def of(cls, place: str) -> Ticket:
        """From a folder relative to the store, such as `train/ab/label-<hash16>`."""
        label, _, identity = place.rpartition("/")[2].rpartition("-")
        return cls(place.split("/")[0], identity, label)


@dataclass(frozen=True)
class Place:
    """Where a job was submitted last."""

    submission: Submission
    element: list[str]
    """The identities of the jobs that share the element."""
    index: int
    """The element's, in the array."""
    array: str = ""
    """Slurm's id of the array."""

    @property
    def name(self) -> str:
        """Slurm's name of the element."""
        return f"{self.array}_{self.index}"

    @property
    def log(self) -> Path:
        """The log of the element's first rank, on Slurm."""
        return self.submission.folder / f"{self.name}_0_log.err"

    @property
    def attempt(self) -> str:
        """A name for the attempt that was made here, which no other attempt has."""
        return f"{self.submission.intent}/{self.index}"


def last_places(
    submissions: list[Submission], queue: Callable[[], dict[tuple[str, int], slurm.Task]]
) -> dict[str, Place]:
    """Where each job was submitted last, by the first 16 digits of its identity.

    Args:
        submissions: oldest first.
        queue: what Slurm has queued; asked only where an array's id was never written down.
    """
    on_slurm = [s for s in submissions if s.cluster == "slurm"]
    ids = {s.intent: s.job_id for s in on_slurm if s.job_id is not None}
    opened = [s for s in on_slurm if s.is_open]
    if opened and not (all(s.printed for s in opened) and slurm.why_silent()):
        ids |= find_orphans(opened, queue())
    places: dict[str, Place] = {}
    for submission in submissions:  # later ones win
        if submission.cluster != "slurm" or submission.intent in ids:
            array = ids.get(submission.intent, "")
            for position, identities in enumerate(submission.elements):
                place = Place(submission, identities, submission.index(position), array)
                places.update({identity[:16]: place for identity in identities})
    return places
