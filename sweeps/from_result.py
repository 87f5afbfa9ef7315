"""`launch.py --from RESULT`: a result's own cell again, and what differs between its making and today."""

from __future__ import annotations

import tempfile
from pathlib import Path

from valley.errors import UserError
from valley.job import Trail
from valley.lock import Locked
from valley.records import digest
from valley.sweep import Grid, read_grid
from valley.yaml_faults import write_yaml


def read_lock(locked: Locked, settings: list[str], dry_run: bool, site: Path | None) -> Grid:
    """The sweep of the one cell that a result's lock describes.

    Args:
        settings, dry_run: as `read_grid` takes them.
        site: a site's file, which wins: the lock holds every setting of the site that it was made at.

    Raises:
        UserError: today's code does not take the lock for a grid, or a setting is wrong.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lock.yaml"
        document = locked.document
        if settings:
            # What is changed is another sweep, beside the repetition and not in its place.
            document["name"] += f"-set-{digest(settings)[:6]}"
        path.write_text(write_yaml(document), encoding="utf-8")
        try:
            return read_grid(path, settings, dry_run, site, called="its lock", site_first=True)
        except UserError as error:
            raise UserError(f"--from {locked.path}: {error}") from error


def print_drift(locked: Locked, planned: Trail) -> None:
    """Say what differs today, one line each."""
    from valley.drift import drift  # takes as long to import as a grid to read

    result = locked.result
    print(f"from {result['kind']} {result['label']}, made {result['provenance']['finished_at']}")
    differences = drift(locked, planned)
    for line in differences:
        print(f"  differs: {line}")
    if not differences:
        print("  nothing differs: the same settings, data, code, Python and packages")
