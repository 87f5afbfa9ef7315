"""Remove the weights of checkpoints that no planned job of any sweep needs any more.

    python sweeps/prune.py [SWEEP]            # show what would go, and why the rest stays
    python sweeps/prune.py [SWEEP] --apply    # remove it

Only weights go: results, logs and samples stay. What was pruned and is needed again is planned as
`rebuild` by the next launch, with its price in the dry run.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from valley.command_line import add_root, add_where
from valley.errors import UserError, exit_on_user_error
from valley.job_file import KINDS, read_job
from valley.ledger import Ledger, all_submissions, find_sweep
from valley.retention import checkpoints, needed
from valley.root_lock import root_lock
from valley.state import Ticket, knowledge
from valley.store import Store
from valley.weights import lacks_weights, makes_weights, remove_weights, size_bytes
from valley.where import Where

GIB = 2**30
LIVE = ("running", "pending")


@dataclass(frozen=True)
class Checkpoint:
    """One job's weights, and why they stay; they may go where that is empty."""

    ticket: Ticket
    folder: Path
    result: dict[str, Any]
    size: int
    needed_by: str


def parse(arguments: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python sweeps/prune.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "sweep", nargs="?", help="only what this sweep's cells rest on (its name, or its grid file)"
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--apply", action="store_true", help="remove, instead of only showing")
    what.add_argument("--dry-run", action="store_true", help="only show, as without either")
    add_where(parser, "what cells with these axes rest on")
    add_root(parser)
    return parser.parse_args(arguments)


def main() -> int:
    """Show what may go, and remove it if that is asked for."""
    options = parse(sys.argv[1:])
    root = options.root.resolve()
    where = Where.parse(options.where)
    only = find_sweep(root, options.sweep).folder.name if options.sweep else None
    if not options.apply:
        found = _Root(root).checkpoints(only, where)
        if not _show(found, root):
            return 0
        words = [word for word in sys.argv[1:] if word != "--dry-run"]
        again = shlex.join(words)
        print(f"dry run: nothing was removed; python sweeps/prune.py {again} --apply removes it")
        return 0
    if not root.is_dir():
        raise UserError(f"--root {options.root}: no such folder")
    with root_lock(root, launches=False):
        # Looked at under the lock: no launch plans on weights that are about to go.
        found = _Root(root).checkpoints(only, where)
        if not _show(found, root):
            return 0
        for checkpoint in found:
            if not checkpoint.needed_by:
                _remove(checkpoint)
    print("removed; results, logs and samples are where they were")
    return 0


def _remove(checkpoint: Checkpoint) -> None:
    try:
        remove_weights(checkpoint.folder, checkpoint.result, "sweeps/prune.py")
    except OSError as error:
        raise UserError(
            f"{error.filename or checkpoint.folder}: cannot be removed ({error.strerror}); what came "
            "before it is gone, and these weights count as pruned; see to it and prune again"
        ) from error


class _Root:
    """What the sweeps below a root have planned, what they have done, and what is live."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root, read_only=True)
        submissions = all_submissions(root)
        self.submitted = {name for s in submissions for pack in s.elements for name in pack}
        self.known = cache(knowledge(self.store, submissions))
        self.rows = {
            path.parent.name: [self._as_laid(row) for row in Ledger(path.parent).rows()]
            for path in sorted(root.glob("sweeps/*/manifest.jsonl"))
        }
        self.result = cache(self._result)

    def _as_laid(self, row: dict[str, Any]) -> dict[str, Any]:
        """A manifest's row with the folders that its jobs lie in: another sweep may have named them."""

        def laid(place: str | None) -> str | None:
            if place is None:
                return None
            ticket = Ticket.of(place)
            return self.store.place(ticket.kind, ticket.label, ticket.identity)

        jobs = {kind: laid(place) for kind, place in row["jobs"].items()}
        return {**row, "before": [laid(place) for place in row["before"]], "jobs": jobs}

    def checkpoints(self, only: str | None, where: Where) -> list[Checkpoint]:
        """Weights that are there, of the cells meant; all below the root where nothing is chosen."""
        users = self._needed() | self._read_by_live_jobs()
        meant = self._meant(only, where) if only or where.conditions else None
        found = []
        for kind in ("prepare", "train"):
            for folder in self.store.folders(kind).values():
                place = str(folder.relative_to(self.store.path))
                result = self.result(place)
                if (
                    result is None
                    or not makes_weights(result)
                    or (meant is not None and place not in meant)
                ):
                    continue
                model = folder / result["outcome"]["model"]
                if model.is_dir():
                    ticket = Ticket.of(place)
                    why = users.get(place, "")
                    if self.known(ticket).state in LIVE:
                        why = "it is being rebuilt"
                    found.append(Checkpoint(ticket, folder, result, size_bytes(model), why))
        return sorted(found, key=lambda c: (bool(c.needed_by), c.ticket.kind, c.ticket.label))

    def _result(self, place: str) -> dict[str, Any] | None:
        ticket = Ticket.of(place)
        return self.store.result(ticket.kind, ticket.identity)

    def _makes_weights(self, place: str) -> bool:
        result = self.result(place)
        return result is not None and makes_weights(result)

    def _has_weights(self, place: str) -> bool:
        result = self.result(place)
        return result is not None and not lacks_weights(self.store.path / place, result)

    def _meant(self, only: str | None, where: Where) -> set[str]:
        return {
            place
            for name, rows in self.rows.items()
            for row in rows
            if only in (None, name) and where.matches(row["axes"])
            for place in checkpoints(row, self._makes_weights)
        }

    def _needed(self) -> dict[str, str]:
        users: dict[str, str] = {}
        for name, rows in self.rows.items():
            found = needed(
                rows,
                lambda place: self.result(place) is not None,
                self._makes_weights,
                self._has_weights,
            )
            for place, child in found.items():
                ticket = Ticket.of(child)
                done = self.result(child) is not None
                why = "may be followed by another round" if done else "is not done"
                users.setdefault(place, f"{ticket.kind} {ticket.label} of sweep {name} {why}")
        return users

    def _read_by_live_jobs(self) -> dict[str, str]:
        """Weights that live jobs read, also those of cells that a later launch no longer planned."""
        users = {}
        for kind, folder in self._submitted_folders():
            place = str(folder.relative_to(self.store.path))
            if self.known(Ticket.of(place)).state in LIVE:
                for at in read_job(folder).inputs.values():
                    parent = str(at.relative_to(self.store.path))
                    users[parent] = f"{kind} {Ticket.of(place).label} is queued or running"
        return users

    def _submitted_folders(self) -> Iterator[tuple[str, Path]]:
        submitted = {name[:16] for name in self.submitted}
        for kind in KINDS:
            for identity, folder in self.store.folders(kind).items():
                if identity in submitted:
                    yield kind, folder


def _show(found: list[Checkpoint], root: Path) -> bool:
    """Print what would go and why the rest stays; whether anything would go."""
    if not found:
        print(
            f"nothing to prune: no weights of these cells are in {root}: none made, or all pruned"
        )
        return False
    print(f"{'':7} {'GiB':>9}  {'checkpoint':60} why")
    for checkpoint in found:
        stays = checkpoint.needed_by
        name = f"{checkpoint.ticket.kind} {checkpoint.ticket.label}"
        why = stays or "no planned job needs it"
        print(f"{'keep' if stays else 'prune':7} {checkpoint.size / GIB:9.3f}  {name:60} {why}")
    gone = [c for c in found if not c.needed_by]
    hours = sum(float(c.result["cost"].get("wall_s", 0)) for c in gone) / 3600
    total = sum(c.size for c in found)
    print(
        f"{sum(c.size for c in gone) / GIB:.3f} of {total / GIB:.3f} GiB in {len(gone)} of "
        f"{len(found)} checkpoints; to make them took {hours:.2f} hours"
    )
    if not gone:
        print("nothing to prune: planned jobs that are not done need every one of them")
    return bool(gone)


if __name__ == "__main__":
    exit_on_user_error(main)
