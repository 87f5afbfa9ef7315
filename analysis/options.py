"""How every script of the analysis finds its sweep."""

from __future__ import annotations

import argparse

from valley.command_line import add_root


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
    add_root(parser)
