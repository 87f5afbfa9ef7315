"""A sweep in a checkout of its own, whose jobs take seconds and tell when they are at work.

The launcher, the elements and the state are the real ones; `jobs/` is replaced. Each job writes a
beat ten times a second, so that afterwards it can be said which runs of it there were and whether two
were ever at work at once, also of runs that were killed. Its outcome follows from its settings and from
its inputs' outcomes alone, so that two sweeps compare.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
JOB = """
import json, os, time
from valley.records import digest

def run(job):
    root = job.folder.parents[3]
    orders = json.loads((root / "orders.json").read_text())
    me = "{}_{}".format(os.environ["SLURM_ARRAY_JOB_ID"], os.environ["SLURM_ARRAY_TASK_ID"])
    me += ".{}".format(os.environ.get("SLURM_RESTART_COUNT", "0"))
    beats = job.folder / "beats.jsonl"
    earlier = {json.loads(line)["run"] for line in beats.read_text().splitlines()} if beats.exists() else set()
    ends = time.time() + orders["seconds"]
    with beats.open("a", buffering=1) as file:
        while time.time() < ends:
            file.write(json.dumps({"run": me, "at": time.time()}) + "\\n")
            time.sleep(0.1)
        file.write(json.dumps({"run": me, "at": time.time()}) + "\\n")
    lot = int(digest([job.identity, orders["lot"]])[:8], 16) / 16**8
    if not earlier and lot < orders["failing"]:
        raise RuntimeError(orders["error"])
    inputs = {role: json.loads((at / "result.json").read_text())["outcome"]["answer"]
              for role, at in job.inputs.items()}
    outcome = {"answer": digest([job.config, inputs])}
    if job.kind == "prepare":
        names = [f"{d}/{c}" for d in ("all", "easy", "medium", "hard")
                 for c in ("all", "correct", "incorrect")]
        outcome["strata"] = {name: 1000 for name in names}
    return outcome
"""
GRID = """\
name: disturbed
students: {tiny: {source: tiny, layers: 1}}
data: {source: tiny, evaluation_problems: 10, pool_traces: 60, direct_answers: 64}
generate: {profiles: {greedy: {max_tokens: 24}}}
stages: {1: {}, 2: {from: {size: 16}}}
grid:
  - {size: [0, 8, 16, 24]}
  - {stage: 2, size: 8, difficulty: [easy, hard]}
preview: {startup_s: 1}
"""


def make_checkout(folder: Path) -> Path:
    """A copy of this checkout with jobs that do as they are ordered."""
    for part in ("valley", "sweeps"):
        shutil.copytree(
            REPOSITORY / part, folder / part, ignore=shutil.ignore_patterns("__pycache__")
        )
    (folder / "jobs").mkdir()
    for kind in ("prepare", "train", "generate", "grade"):
        (folder / "jobs" / f"{kind}.py").write_text(JOB)
    return folder


class DisturbedSweep:
    """A root, a grid, and the checkout that it is launched from."""

    def __init__(
        self,
        checkout: Path,
        root: Path,
        *,
        seconds: float = 1.0,
        failing: float = 0.0,
        error: str = "its lot was to fail",
        grid: str = GRID,
    ) -> None:
        """Nothing is launched yet.

        Args:
            seconds: how long each job takes.
            failing: the share of jobs whose first run fails.
            error: what they fail with.
        """
        self.checkout, self.root, self.error = checkout, root, error
        root.mkdir(parents=True)
        self.grid = root / "grid.yaml"
        self.grid.write_text(grid)
        self.order(seconds=seconds, failing=failing)

    def order(self, seconds: float, failing: float = 0.0) -> None:
        """Say what jobs that begin from now on do."""
        orders = {"seconds": seconds, "failing": failing, "error": self.error, "lot": 1}
        (self.root / "orders.json").write_text(json.dumps(orders))

    def command(self, script: str, *arguments: str) -> list[str]:
        """A script's command line on this root."""
        return [sys.executable, f"sweeps/{script}.py", *arguments, "--root", str(self.root)]

    def start(self, script: str, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """A script in a process of its own."""
        environment = {**os.environ, "PYTHONPATH": str(self.checkout), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            self.command(script, *arguments),
            cwd=self.checkout,
            env={**environment, **options.pop("env", {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **options,
        )

    def run(self, script: str, *arguments: str, **options: Any) -> tuple[int, str]:
        """A script to its end; its status and what it said."""
        timeout = options.pop("timeout", 240)
        process = self.start(script, *arguments, **options)
        said, _ = process.communicate(timeout=timeout)
        return process.returncode, said

    def launch(self, *arguments: str, **options: Any) -> tuple[int, str]:
        """`launch.py` on Slurm."""
        return self.run("launch", str(self.grid), "--cluster", "slurm", *arguments, **options)

    def states(self) -> dict[str, int]:
        """How many cells are in which state; none before the first launch."""
        if not (self.root / "sweeps" / "disturbed" / "manifest.jsonl").exists():
            return {}
        code, said = self.run("status", "--json")
        assert code == 0, said
        counts: dict[str, int] = {}
        for row in json.loads(said[said.index("{") :])["cells"]:
            counts[row["state"]] = counts.get(row["state"], 0) + 1
        return counts

    def wait_for(self, holds: Callable[[], Any], seconds: float = 60, what: str = "") -> Any:
        """Wait until something holds, and return it."""
        deadline = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < deadline, f"{what}: {self.states()}"
            time.sleep(0.1)
        return found

    def begun(self, kind: str = "train") -> list[Path]:
        """The folders of jobs of a kind that have begun and have no result."""
        return [
            path.parent
            for path in self.root.glob(f"store/{kind}/*/*/running.json")
            if not (path.parent / "result.json").exists()
        ]

    def settle(self, *arguments: str, seconds: float = 240) -> list[str]:
        """Launch again until every cell is done; what each launch said.

        Args:
            arguments: of each launch, such as `--retry failed`.
        """
        said = []
        deadline = time.monotonic() + seconds
        while set(counts := self.states()) != {"done"}:
            assert time.monotonic() < deadline, (counts, said[-2:])
            if not set(counts) & {"running", "pending"}:
                said.append(self.launch(*arguments)[1])
            time.sleep(1)
        return said

    def answers(self) -> dict[str, str]:
        """The outcome of every job, by its identity."""
        found = {}
        for path in self.root.glob("store/*/*/*/result.json"):
            result = json.loads(path.read_text())
            found[result["identity"]] = result["outcome"]["answer"]
        return found

    def runs(self) -> dict[Path, list[tuple[float, float, str]]]:
        """Of every job its runs: when each began, when it was seen last, and Slurm's name of it."""
        found = {}
        for path in self.root.glob("store/*/*/*/beats.jsonl"):
            spans: dict[str, list[float]] = {}
            for line in path.read_text().splitlines():
                beat = json.loads(line)
                spans.setdefault(beat["run"], []).append(beat["at"])
            found[path.parent] = sorted((min(at), max(at), run) for run, at in spans.items())
        return found

    def overlaps(self) -> list[tuple[str, str, str]]:
        """Runs of one job that were at work at once: there must be none."""
        return [
            (folder.name, one, two)
            for folder, runs in self.runs().items()
            for (_, ended, one), (began, _, two) in itertools.pairwise(runs)
            if began < ended
        ]

    def check_sound(self, expected: dict[str, str]) -> None:
        """All done, as undisturbed, and no job ever at work twice at once."""
        assert self.overlaps() == []
        assert self.answers() == expected
        assert set(self.states()) == {"done"}
        # An element outlives its last result by a moment.
        self.wait_for(lambda: not self.queued(), seconds=15, what="something is left in the queue")

    def queued(self) -> list[str]:
        """What Slurm has queued or running of this root."""
        queue = ["squeue", "--me", "--noheader", "--states=PENDING,RUNNING", "--format=%i|%Z"]
        listed = subprocess.run(queue, capture_output=True, text=True, check=True).stdout
        return [line for line in listed.splitlines() if str(self.root) in line]
