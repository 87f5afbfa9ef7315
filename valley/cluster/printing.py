"""Printed scripts: what a launch would submit, written to a folder for a person to read and to submit.

    01-prep0-pool-tiny.sh    for sbatch, as it is
    01-prep0-pool-tiny/      what it needs beside it; its logs come here
    submit_all.sh            submits all scripts in their order, each with what it depends on

The jobs' descriptions are laid in the store as at a launch, and the journal knows every printed folder:
what a person has submitted of them, the next launch finds in the queue and leaves alone.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from valley.cluster.arrays import Array
from valley.cluster.config import ClusterConfig
from valley.cluster.submit import (
    UNSAFE,
    by_leader,
    dependency_of,
    journal_intent,
    lay_jobs,
    new_intent,
    note_places,
)
from valley.disk import cannot_write
from valley.errors import UserError
from valley.ledger import Ledger
from valley.records import write_text
from valley.store import Store

SUBMIT_ALL = "submit_all.sh"
HEAD = """\
#!/bin/bash
# Submits the scripts beside it in their order, each with what it depends on. Once: it leaves a mark.
set -euo pipefail
mkdir {mark} || {{ echo "these scripts have been submitted already" >&2; exit 1; }}
submit() {{ sbatch --parsable "$@" | cut -d';' -f1; }}
"""


def check_empty(folder: Path) -> Path:
    """The folder to print to, with its full path.

    Raises:
        UserError: there is something in it, or nothing can be written there.
    """
    folder = folder.expanduser().resolve()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"--print-scripts {folder}: is there and not empty; name a new folder")
    if why := cannot_write(folder):
        raise UserError(f"--print-scripts {why}; name a new folder where you can write")
    return folder


def print_scripts(
    arrays: list[Array],
    config: ClusterConfig,
    ledger: Ledger,
    store: Store,
    snapshot: Path,
    live: Mapping[str, str],
    target: Path,
) -> list[Path]:
    """Write the script of every array, parents before children, and one that submits them all.

    Args:
        live: of jobs that squeue shows as queued or running, identity -> `array_index`.
        target: an empty folder, or a new one.

    Returns:
        The arrays' scripts, in the order in which they are to be submitted.
    """
    from valley.cluster.script import write_submission

    places = dict(live)
    lines = [HEAD.format(mark=shlex.quote(str(target / "submitted")))]
    scripts: list[Path] = []
    for array in arrays:
        for elements in by_leader(array.elements, places):
            name = f"{len(scripts) + 1:02d}-{UNSAFE.sub('_', array.name)}"
            folder = journal_intent(
                ledger, new_intent(array), elements, "slurm", target / name, printed=True
            )
            work = {element.index: lay_jobs(store, element, folder) for element in elements}
            script = target / f"{name}.sh"
            write_submission(array, work, folder, config, snapshot, script=script)
            variable = f"A{len(scripts) + 1:02d}"
            dependency = dependency_of(array, elements, places)
            options = [f"--dependency={dependency}"] if dependency else []
            lines.append(
                " ".join([f"{variable}=$(submit", *options, shlex.quote(str(script))]) + ")\n"
            )
            lines.append(f'echo "${variable} {name}"\n')
            if dependency:
                _say_dependency(script, dependency)
            note_places(places, elements, f"${{{variable}}}")
            scripts.append(script)
    write_text(target / SUBMIT_ALL, "".join(lines))
    (target / SUBMIT_ALL).chmod(0o755)
    return scripts


def _say_dependency(script: Path, dependency: str) -> None:
    """Tell a reader what this script must be submitted with; `${A01}` is the id of script 01."""
    first, rest = script.read_text(encoding="utf-8").split("\n", 1)
    said = (
        f"# Submit with --dependency={dependency} (A01 is the id of script 01); see {SUBMIT_ALL}."
    )
    write_text(script, f"{first}\n{said}\n{rest}")
