"""A generation shared by two array elements, and drawn in two rounds, on a real Slurm cluster."""

from __future__ import annotations

import sys

import pytest
from sweeping import MINI, command, results
from test_launch_on_slurm import wait_for_queue

DIES = """#!/bin/sh
# The second of two shards dies as a process that is killed, while this file's flag is there.
case "$SLURM_JOB_NAME" in
  *2of2*) if [ -e "{flag}" ]; then kill -9 $$; fi ;;
esac
exec "{python}" "$@"
"""


def grid_of(folder):
    """One cell, its samples in two rounds and each round in two shards; the flag that kills the second."""
    script, flag = folder / "python", folder / "dies"
    script.write_text(DIES.format(flag=flag, python=sys.executable))
    script.chmod(0o755)
    flag.touch()
    head, rest = MINI.split("\ngenerate: {")
    tail = rest[rest.index("preview:") :]
    path = folder / "grid.yaml"
    path.write_text(
        head
        + "\ngenerate: {batch_size: 4, precision: fp32, profiles: {paper: {samples: 4, rounds: 2, max_tokens: 12}}}\n"
        + "grid: [{size: 0}]\n"
        + f"resources: {{generate: {{shards: 2, python: '{script}'}}}}\n"
        + tail
    )
    return path, flag


@pytest.mark.slow
def test_a_shard_that_died_is_the_only_one_that_is_run_again(slurm, spaced):
    grid, flag = grid_of(spaced)
    root = spaced / "runs"

    def launch(*arguments):
        return command(
            "sweeps/launch.py", str(grid), "--cluster", "slurm", *arguments, root=root, timeout=900
        )

    first = launch("--set", "cluster.kill_on_invalid_dep=true")
    assert first.returncode == 0, first.stdout + first.stderr
    wait_for_queue("mini", set(), seconds=400)
    (name,) = results(root, "generate")
    assert "1of2" in name and not results(root, "grade")
    kept = next(root.glob(f"store/generate/*/{name}/result.json"))
    before = kept.read_text(), kept.stat().st_mtime_ns
    flag.unlink()
    again = launch("--retry", "failed", "--wait")
    assert again.returncode == 0, again.stdout + again.stderr
    submitted = [line.split()[2] for line in again.stdout.splitlines() if "  submitted" in line]
    rounds = [[n for n in submitted if ("round2" in n) == later] for later in (False, True)]
    assert sorted(n.split("-")[0] for n in rounds[0]) == ["gen1", "gen1", "grade1"], submitted
    assert not any("1of2" in n for n in rounds[0]) and any("2of2" in n for n in rounds[0])
    assert len([n for n in rounds[1] if n.startswith("gen1")]) == 3, submitted
    assert (kept.read_text(), kept.stat().st_mtime_ns) == before
    made = results(root, "generate")
    assert len(made) == 6 and {
        r["outcome"]["shards"] for r in made.values() if "shards" in r["outcome"]
    } == {2}
    whole = next(r for name, r in made.items() if "round2" in name and "shards" in r["outcome"])
    assert whole["outcome"]["samples"] == 40 and whole["outcome"]["earlier"]["samples"] == 20
    assert all(r["provenance"]["slurm"]["SLURM_JOB_ID"] for r in made.values())
    counts = [r["outcome"]["per_problem"]["samples"] for r in results(root, "grade").values()]
    assert sorted(counts) == [2, 4]
