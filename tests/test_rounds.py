"""Samples drawn in rounds by a launcher on one machine: killed within the second round, and gone on with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import pytest
from collect import collect
from sweeping import MINI, REPOSITORY, command, launch, results, status

pytestmark = pytest.mark.xdist_group("launch")

# A student that solves nothing: 0 of 10 problems have an interval of 0.34, which is narrow enough for `think`.
PROFILES = """{
  paper: {samples: 4, rounds: 2, temperature: 0.8, max_tokens: 12},
  think: {samples: 6, rounds: 3, until_interval: 0.4, temperature: 0.8, max_tokens: 12}}"""
ROUNDS = (
    MINI.replace("name: mini", "name: rounds")
    .replace('{greedy: {max_tokens: 24}, direct: {max_tokens: 24, prefill: "```python"}}', PROFILES)
    .replace(
        "  - {size: [0, 8, 16]}\n  - {stage: 2, size: 8, difficulty: [easy, hard]}",
        "  - {size: [0, 8]}",
    )
    .replace("stages: {1: {}, 2: {from: {size: 16}}}\n", "")
)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Such a sweep, done: its grid, its root, and what each of two launchers said."""
    folder = tmp_path_factory.mktemp("a sweep")
    grid, root = folder / "grid.yaml", folder / "runs"
    grid.write_text(ROUNDS)
    with (folder / "said").open("w+") as said:
        launcher = subprocess.Popen(
            [
                sys.executable,
                "sweeps/launch.py",
                str(grid),
                "--cluster",
                "local",
                "--root",
                str(root),
            ],
            cwd=REPOSITORY,
            stdout=said,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        try:
            deadline = time.monotonic() + 600
            while not list(root.glob("store/generate/*/*round2*/job.json")):
                assert launcher.poll() is None and time.monotonic() < deadline, said.name
                time.sleep(0.02)
        finally:
            launcher.kill()
            launcher.wait()
        said.seek(0)
        first = said.read()
    second = launch(grid, root)
    assert second.returncode == 0, first + second.stdout + second.stderr
    return grid, root, first, second.stdout


def test_every_problem_and_both_cells_have_the_same_number_of_samples(drawn):
    _, root, first, second = drawn
    assert "profile 'paper': round 1 of 2 of its samples; the next begins when every cell" in first
    assert "profile 'paper': round 2 of 2 of its samples, the last" in first
    assert "profile 'think': sampling stopped after 1 of 3 rounds: widest 95 %" in second
    rows = status(root, "rounds")
    assert [row["state"] for row in rows] == ["done"] * 4
    assert [row["sampling"]["round"] for row in rows] == [2, 1] * 2
    collected = collect(root, "rounds")
    for (_, profile), counts in collected.counts.items():
        assert counts.samples.tolist() == [{"paper": 4, "think": 2}[profile]] * 10
    # The second round's gradings have graded its own samples alone.
    told = [result["outcome"].get("earlier") for result in results(root, "grade").values()]
    assert len(told) == 6 and [of for of in told if of] == [{"samples": 20}] * 2


def test_afterwards_there_is_nothing_to_do_and_no_weights_are_needed(drawn):
    grid, root, *_ = drawn
    again = launch(grid, root)
    assert again.returncode == 0 and "nothing to do: all 2 cells are done" in again.stdout
    dry = launch(grid, root, "--dry-run").stdout
    assert "0 jobs to run" in dry and "counts all rounds" not in dry
    shown = command("sweeps/status.py", "rounds", root=root).stdout
    assert "profile paper: round 2 of 2 of its samples, the last" in shown
    assert "profile think: round 1 of 3 of its samples, the last" in shown
    kept = command("sweeps/prune.py", root=root).stdout
    assert "another round" not in kept and "\nprune" in kept and "\nkeep" not in kept


def test_a_result_of_a_further_round_is_run_again_by_its_lock(drawn):
    _, root, *_ = drawn
    made = next(root.glob("store/grade/*/*round2*"))
    done = command("sweeps/launch.py", "--from", str(made), "--cluster", "local", root=root)
    assert done.returncode == 0, done.stderr
    assert (
        "nothing differs" in done.stdout and "nothing to do: the only cell is done" in done.stdout
    )
    assert "profile 'paper': all 2 rounds of its samples are drawn" in done.stdout


def test_a_table_counts_the_newest_round_that_every_cell_has(drawn, spaced):
    grid, whole, *_ = drawn
    root = spaced / "runs"
    shutil.copytree(whole, root)
    next(root.glob("store/grade/*/*n8*round2*/result.json")).unlink()
    collected = collect(root, "rounds")
    assert {counts.samples[0] for counts in collected.counts.values()} == {2}
    assert not collected.missing
    # What is missing is planned again, and nothing else is.
    dry = launch(grid, root, "--dry-run").stdout
    assert "1 jobs to run" in dry, dry
