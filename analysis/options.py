"""How every script of the analysis finds its sweep, and the command that it names as the next."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path

STATUS, PLOT = "sweeps/status.py", "analysis/plot_valley.py"


def sweep_options(parser: argparse.ArgumentParser) -> None:
    """Add the options by which every analysis script finds its sweep: its name alone, or `--sweep`."""
    named = parser.add_mutually_exclusive_group()
    named.add_argument(
        "sweep",
        nargs="?",
        # Where it is absent, `--sweep` may have been given.
        default=argparse.SUPPRESS,
        help="a sweep's name, or its grid file; default: the one launched last",
    )
    named.add_argument("--sweep", metavar="NAME", help="the same")
    root_option(parser)


def root_option(parser: argparse.ArgumentParser) -> None:
    """Add `--root`."""
    parser.add_argument(
        "--root", type=Path, default=_default_root(), help="default: VALLEY_ROOT or runs"
    )


def _default_root() -> Path:
    return Path(os.environ.get("VALLEY_ROOT", "runs"))


def next_line(script: str, options: argparse.Namespace) -> str:
    """The `next:` line that runs another script on the same sweep and root."""
    words = ["python", script]
    if options.sweep is not None:
        words += [options.sweep] if script == STATUS else ["--sweep", options.sweep]
    if options.root != _default_root():
        words += ["--root", str(options.root)]
    return f"next: {shlex.join(words)}"
