"""The command line that the commands on sweeps and those of the analysis have in common."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path

DEFAULT_ROOT = "runs"
STATUS, PLOT = "sweeps/status.py", "analysis/plot_valley.py"


def add_root(parser: argparse.ArgumentParser) -> None:
    """Add `--root`."""
    parser.add_argument(
        "--root",
        type=_folder,
        default=_default_root(),
        help=f"where results are kept (default: {DEFAULT_ROOT}, or VALLEY_ROOT)",
    )


def add_where(parser: argparse.ArgumentParser, what: str) -> None:
    """Add `--where`, which `valley.where` reads.

    Args:
        what: what the conditions choose.
    """
    parser.add_argument(
        "--where",
        action="append",
        default=[],
        metavar="CONDITION",
        help=f"only {what}: size=64,128, or 'stage!=2', or 'size>=1000'; given several times, all "
        "must hold",
    )


def next_line(script: str, sweep: str | None, root: Path) -> str:
    """The `next:` line that runs a script on a sweep, and names the root where it is not the default one.

    Args:
        sweep: None is the one launched last.
    """
    words = ["python", script]
    if sweep is not None:
        words += [sweep] if script == STATUS else ["--sweep", sweep]
    if root.resolve() != _default_root().resolve():
        words += ["--root", str(root)]
    return f"next: {shlex.join(words)}"


def _default_root() -> Path:
    return _folder(os.environ.get("VALLEY_ROOT", DEFAULT_ROOT))


def _folder(text: str) -> Path:
    # A shell leaves the `~` of `--root=~/runs` alone.
    return Path(os.path.expanduser(text))
