from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import valley
from valley.cluster import snapshot
from valley.cluster.snapshot import take_snapshot
from valley.errors import UserError


def test_a_snapshot_is_the_code_and_is_taken_once(spaced):
    first = take_snapshot(spaced)
    assert (first / "valley" / "plan.py").is_file() and (first / "jobs" / "train.py").is_file()
    stamp = (first / "valley" / "plan.py").stat().st_mtime_ns
    assert take_snapshot(spaced) == first
    assert (first / "valley" / "plan.py").stat().st_mtime_ns == stamp


def test_edits_make_another_snapshot_and_leave_the_first_alone(spaced, monkeypatch):
    checkout = spaced / "checkout"
    copy = take_snapshot(spaced / "first")
    copy.rename(checkout)
    monkeypatch.setattr(valley, "__file__", str(checkout / "valley" / "__init__.py"))
    before = take_snapshot(spaced / "snapshots")
    (checkout / "valley" / "plan.py").write_text("raise RuntimeError")
    after = take_snapshot(spaced / "snapshots")
    assert before != after
    assert "RuntimeError" not in (before / "valley" / "plan.py").read_text()


def test_without_the_job_scripts_there_is_none(spaced, monkeypatch):
    monkeypatch.setattr(
        valley, "__file__", str(spaced / "site-packages" / "valley" / "__init__.py")
    )
    with pytest.raises(UserError, match=r"no jobs/ beside valley/"):
        take_snapshot(spaced)
    assert snapshot.PARTS == ("valley", "jobs")


def test_an_element_runs_the_snapshot_even_from_a_checkout(spaced):
    """A folder named valley where the process starts must not stand in for the snapshot."""
    taken = take_snapshot(spaced / "snapshots")
    (spaced / "valley").mkdir()
    (spaced / "valley" / "__init__.py").write_text("raise RuntimeError('the wrong one')")
    code = (
        "from valley.cluster.element import run_element; import sys; run_element([], sys.argv[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(taken)],
        cwd=spaced,
        env={**os.environ, "PYTHONPATH": str(taken), "PYTHONSAFEPATH": "1"},
        capture_output=True,
        text=True,
    )
    assert "none of 0 jobs succeeded" in done.stderr
    done = subprocess.run(
        [sys.executable, "-c", code, str(taken)],
        cwd=Path(__file__).parents[2],
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )
    assert "and not from the snapshot" in done.stderr


def test_a_snapshot_that_is_not_what_its_name_says_is_taken_anew(spaced):
    """As a power cut leaves one, or an edit inside it."""
    first = take_snapshot(spaced)
    plan = (first / "valley" / "plan.py").read_bytes()
    (first / "valley" / "plan.py").write_bytes(b"")
    assert take_snapshot(spaced) == first
    assert (first / "valley" / "plan.py").read_bytes() == plan
    (aside,) = spaced.glob("*.damaged-1")
    assert (aside / "valley" / "plan.py").read_bytes() == b""


def test_what_is_edited_while_it_is_copied_has_the_copys_name(spaced, monkeypatch):
    checkout = spaced / "checkout"
    take_snapshot(spaced / "first").rename(checkout)
    monkeypatch.setattr(valley, "__file__", str(checkout / "valley" / "__init__.py"))
    before, copyfile = take_snapshot(spaced / "other"), shutil.copyfile

    def edit(source, target):
        (checkout / "valley" / "where.py").write_text("# edited")
        copyfile(source, target)

    monkeypatch.setattr("shutil.copyfile", edit)
    taken = take_snapshot(spaced / "snapshots")
    monkeypatch.undo()
    monkeypatch.setattr(valley, "__file__", str(taken / "valley" / "__init__.py"))
    assert snapshot.code_hash() == taken.name != before.name
