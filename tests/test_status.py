"""The status as its users see it: a real process that looks at what jobs left on disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from status_table import MOST_LINES, duration, status_text, which
from status_world import StatusWorld
from sweeping import REPOSITORY, command

from valley.picture import picture
from valley.plan import Known
from valley.records import digest


@pytest.fixture
def world(spaced):
    """A cell that is done, one whose training failed, one whose training runs, and one that is new."""
    world = StatusWorld(spaced / "runs")
    log = spaced / "a log"
    log.write_text("".join(f"line {n}\n" for n in range(99)) + "ValueError: no luck\n")
    world.done("prepare", "pool")
    for size in (8, 16, 32, 64):
        world.cell(size, difficulty="hard" if size > 16 else "all")
    for kind, name in (("train", ""), ("generate", "-p"), ("grade", "-p")):
        world.done(kind, f"tiny-n8-stage1{name}")
    world.failed("train", "tiny-n16-stage1", "ValueError: no luck", str(log))
    world.running("train", "tiny-n32-stage1", began=time.time() - 1, log=str(log))
    world.write()
    labels = [(kind, n) for n in (16, 32, 64) for kind in ("train", "generate", "grade")]
    ids = [digest([k, f"tiny-n{n}-stage1{'' if k == 'train' else '-p'}"]) for k, n in labels]
    world.ledger.write_estimates(dict.fromkeys(ids, 5.0))
    return world


def look(world, *arguments):
    return command("sweeps/status.py", *arguments, root=world.root)


def test_the_matrix_shows_every_cell_and_kind(world):
    said = look(world)
    assert said.returncode == 0, said.stderr
    lines = [" ".join(line.split()) for line in said.stdout.splitlines()]
    assert lines[0] == "sweep s: 4 cells: 1 failed, 1 running, 1 to run, 1 done"
    assert "tiny-n8-stage1 done done done done" in lines
    assert "tiny-n16-stage1 done failed blocked blocked" in lines
    assert "tiny-n32-stage1 done running to run to run" in lines
    assert "jobs done 1/1 1/4 1/4 1/4" in lines
    assert "\x1b" not in said.stdout


def test_without_the_launchs_estimates_the_status_says_why_no_end_is_expected(world):
    path = world.ledger.folder / "estimates.json"
    path.unlink()
    said = look(world).stdout
    assert "expected end: not known: " in said and f"have no estimate in {path}; launch" in said
    assert json.loads(look(world, "--json").stdout)["expected_end"] is None


def test_the_colours_are_explained_on_a_terminal_alone(world):
    seen = picture(world.ledger.rows(), lambda job: Known("new"))
    plain = status_text("s", seen, lambda job: None, None, {})
    coloured = status_text("s", seen, lambda job: None, None, {}, colour=True)
    assert "colours:" not in plain and "\x1b" not in plain
    (legend,) = [line for line in coloured.splitlines() if line.startswith("colours: ")]
    assert "\x1b[31mfailed or lost\x1b[0m" in legend


def test_a_failure_comes_with_its_class_its_line_and_what_to_do(world):
    said = look(world).stdout
    assert "failed: a train job, code error; in 1 cell: tiny-n16-stage1" in said
    assert "  line: ValueError: no luck" in said and "--retry failed" in said
    assert "a log" in said


def test_json_holds_the_same(world):
    value = json.loads(look(world, "--json").stdout)
    assert value["schema"] == "valley.status/1" and value["sweep"] == "s"
    assert value["kinds"]["train"] == {"done": 1, "failed": 1, "running": 1, "new": 1}
    failed = next(row for row in value["cells"] if row["state"] == "failed")
    assert (failed["kind"], failed["failure"]) == ("train", "code_error")
    assert failed["jobs"]["train"] == {"failed": 1} and "--retry failed" in failed["action"]
    (stuck,) = value["stuck"]
    assert stuck["cells"] == [failed["cell"]] and stuck["line"] == "ValueError: no luck"
    assert value["expected_end"]["lanes"] == 1 and value["expected_end"]["left_s"] > 0


def test_a_filter_shows_some_cells_and_none_is_an_error(world):
    said = look(world, "--where", "size>16", "--where", "difficulty=hard")
    assert "2 cells" in said.stdout and "n8" not in said.stdout
    for conditions, message in (
        (["size=7"], "widen --where"),
        (["colour=red"], "colour"),
    ):
        none = look(world, "--where", *conditions)
        assert none.returncode == 2 and message in none.stderr and "Traceback" not in none.stderr


def test_the_end_of_a_log(world):
    said = look(world, "--logs", "n16", "--lines", "2").stdout.splitlines()
    assert said[0].startswith("==> train tiny-n16-stage1: failed, code error: ")
    assert said[1:] == ["line 98", "ValueError: no luck"]
    assert "==> train tiny-n32" in look(world, "--logs", "tiny-n32-stage1").stdout


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("tiny", "several cells are called so: tiny-n8-stage1"),
        ("elsewhere", "no cell is called so"),
        ("n64", "no job of tiny-n64-stage1 has failed"),
    ],
)
def test_a_log_that_cannot_be_shown(world, name, message):
    said = look(world, "--logs", name)
    assert said.returncode == 2 and message in said.stderr


def test_watching_ends_when_nothing_is_live(world):
    watched = start_watching(world)
    assert "1 running" in watched.stdout.readline()
    for size in (16, 32, 64):
        for kind, name in (("train", ""), ("generate", "-p"), ("grade", "-p")):
            world.done(kind, f"tiny-n{size}-stage1{name}")
    said, _ = watched.communicate(timeout=20)
    assert watched.returncode == 0
    assert "sweep s: 4 cells: 4 done" in said


def test_watching_ends_at_an_interrupt(world):
    watched = start_watching(world)
    assert "1 running" in watched.stdout.readline()
    watched.send_signal(signal.SIGINT)
    _, said = watched.communicate(timeout=20)
    assert watched.returncode == 0 and "Traceback" not in said


def start_watching(world):
    return subprocess.Popen(
        [sys.executable, "sweeps/status.py", "--watch", "0.2", "--root", str(world.root)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )


def text_of(world, known, **options):
    return status_text("s", picture(world.lines, known), lambda job: None, None, {}, **options)


def test_many_cells_are_folded_by_how_they_stand(spaced):
    world = StatusWorld(spaced)
    for size in range(1, 41):
        for seed in (0, 1):
            world.cell(size, seed=seed)
    assert MOST_LINES < 80

    def known(ticket):
        failed = "-n7-" in ticket.label and ticket.kind == "train"
        done = (
            ticket.kind in ("prepare", "train") and "seed1" in ticket.label
        ) or "pool" in ticket.label
        return Known("failed" if failed else "done" if done else "pending")

    lines = [" ".join(line.split()) for line in text_of(world, known).splitlines()]
    assert "cells which prepare train generate grade" in lines
    assert "2 size 7 done failed queued queued" in lines
    assert "39 size 1..40 (39 values), seed 0 done queued queued queued" in lines
    assert "39 size 1..40 (39 values), seed 1 done done queued queued" in lines
    assert "jobs done 1/1 39/80 0/80 0/80" in lines


def test_a_terminal_is_given_colours(world):
    assert "\x1b[32mdone" in text_of(world, lambda ticket: Known("done"), colour=True)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([1, 2, 3, 4], "all"),
        ([1, 2], "size 1/2"),
        ([2], "size 2"),
    ],
)
def test_what_a_group_has_in_common(values, said):
    every = {"size": dict.fromkeys([1, 2, 3, 4]), "stage": {1: None}}
    assert which({"size": dict.fromkeys(values), "stage": {1: None}}, every) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "1 s"), (40.2, "41 s"), (600, "10 min"), (9000, "2.5 h"), (400_000, "5 days")],
)
def test_lengths_of_time_are_rounded_for_people(seconds, said):
    assert duration(seconds) == said
