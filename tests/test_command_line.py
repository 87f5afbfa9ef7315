from __future__ import annotations

import argparse
from pathlib import Path

import pytest
from sweeping import MINI, command

from valley.command_line import PLOT, STATUS, add_root, next_line


@pytest.fixture
def root(monkeypatch):
    """What `--root` comes to, of these arguments."""
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("VALLEY_ROOT", raising=False)

    def parse(*arguments):
        parser = argparse.ArgumentParser()
        add_root(parser)
        return parser.parse_args(arguments).root

    return parse


def test_a_root_in_ones_home_is_found_however_it_is_told(root, monkeypatch):
    assert root() == Path("runs")
    assert root("--root=~/runs") == Path("/home/me/runs")
    monkeypatch.setenv("VALLEY_ROOT", "~/mine")
    assert root() == Path("/home/me/mine")


def test_the_next_line_names_a_root_that_is_not_the_default_one(root, monkeypatch):
    assert next_line(PLOT, "s", Path("runs").resolve()) == f"next: python {PLOT} --sweep s"
    assert next_line(STATUS, "s", Path("a b")) == f"next: python {STATUS} s --root 'a b'"
    monkeypatch.setenv("VALLEY_ROOT", "~/mine")
    assert next_line(STATUS, None, Path("/home/me/mine")) == f"next: python {STATUS}"


def test_every_command_expands_the_home_folder(finished, spaced):
    _, whole, _ = finished
    (spaced / "runs").symlink_to(whole)
    env = {"HOME": str(spaced), "VALLEY_ROOT": "~/runs"}
    for script in ("sweeps/status.py", "sweeps/prune.py", "analysis/collect.py"):
        done = command(script, root=Path("~/runs"), env=env)
        assert done.returncode == 0, done.stderr
    done = command("sweeps/cancel.py", "mini", root=Path("~/runs"), env=env)
    assert "nothing to cancel" in done.stdout
    (spaced / "grid.yaml").write_text(MINI)
    done = command("sweeps/launch.py", str(spaced / "grid.yaml"), root=Path("~/runs"), env=env)
    # The root is the default one, so the next command need not be told.
    assert done.stdout.splitlines()[-1] == f"next: python {PLOT} --sweep mini", done.stderr
