"""The options that the commands on sweeps take alike."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

DEFAULT_ROOT = "runs"


def add_root(parser: argparse.ArgumentParser) -> None:
    """Add `--root`."""
    parser.add_argument(
        "--root",
        type=Path,
        default=Path(os.environ.get("VALLEY_ROOT", DEFAULT_ROOT)),
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
