"""A copy of the checkout whose jobs do next to nothing, launched as a user does: for the launcher's tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

from valley.cluster import slurm
from valley.ledger import all_submissions

REPOSITORY = Path(__file__).parent.parent
KILLED = Path(__file__).parent / "killed_at_a_step.py"
STRATA = [
    f"{difficulty}/{correctness}"
    for difficulty in ("all", "easy", "medium", "hard")
    for correctness in ("all", "correct", "incorrect")
]
JOB = f"""
import os, time

STRATA = {STRATA!r}

def run(job):
    with (job.folder / "attempts").open("a") as attempts:
        attempts.write("x")
    # Refused where another process is at the same job.
    alive = os.open(job.folder / "alive", os.O_CREAT | os.O_EXCL)
    time.sleep(float(os.environ.get("SCRIPTED_S", "0")))
    if os.environ.get("SCRIPTED_FAILS") == job.kind:
        raise ValueError("no luck")
    os.close(alive)
    os.unlink(job.folder / "alive")
    return {{"strata": dict.fromkeys(STRATA, 10**6)}}
"""
GRID = """
name: scripted
students: {tiny: {source: tiny}}
data: {source: tiny}
train: {batch_size: 8}
generate: {profiles: {greedy: {max_tokens: 9}}}
"""
PACKED = "resources: {train: {pack: 9}, generate: {pack: 9}, grade: {pack: 9}}\n"


class Checkout:
    """The copy, with a grid and a root of its own."""

    def __init__(self, folder: Path, grid: str, extra: str = "") -> None:
        self.path = folder / "checkout"
        self.root = folder / "runs"
        self.grid = folder / "grid.yaml"
        for part in ("valley", "sweeps"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(REPOSITORY / part, self.path / part, ignore=ignored)
        (self.path / "jobs").mkdir()
        for kind in ("prepare", "train", "generate", "grade"):
            (self.path / "jobs" / f"{kind}.py").write_text(JOB)
        self.grid.write_text(f"{GRID}grid: {grid}\n{extra}")

    def command(self, *arguments: str, **env: str) -> subprocess.CompletedProcess:
        """Run a Python command line in the copy."""
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.path,
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "PYTHONPATH": str(self.path), **env},
        )

    def launch(self, *arguments: str, **env: str) -> subprocess.CompletedProcess:
        """`python sweeps/launch.py GRID --cluster slurm …`"""
        return self.command(*self.launcher, *arguments, **env)

    def launch_killed(self, step: int, *arguments: str, after_s: float = 0.0, **env: str) -> str:
        """The same, killed without warning at a step; what it had said."""
        driver = [str(KILLED), str(step), str(after_s), str(self.root)]
        return self.command(*driver, *self.launcher, *arguments, **env).stdout

    def steps(self) -> list[str]:
        """What a whole launch does, step by step, as `launch_killed` counts from 1."""
        log = self.root.parent / "steps"
        done = self.command(str(KILLED), "0", "0", str(self.root), *self.launcher, STEPS=str(log))
        assert done.returncode == 0, done.stdout + done.stderr
        return log.read_text().splitlines()

    def attempts(self) -> dict[str, int]:
        """How often each job was begun, by its folder's name."""
        return {p.parent.name: len(p.read_text()) for p in self.root.glob("store/*/*/*/attempts")}

    def results(self, kind: str = "*") -> list[Path]:
        """The result files of a kind."""
        return sorted(self.root.glob(f"store/{kind}/*/*/result.json"))

    def queued(self) -> Counter[str]:
        """How many live elements of Slurm's queue each job lies in, by its identity."""
        folders = {str(s.folder): s for s in all_submissions(self.root) if s.cluster == "slurm"}
        counts: Counter[str] = Counter()
        for (_, index), task in slurm.queue().items():
            if task.state not in slurm.ENDED and task.folder in folders:
                submission = folders[task.folder]
                position = [submission.index(n) for n in range(len(submission.elements))].index(
                    index
                )
                counts.update(submission.elements[position])
        return counts

    @property
    def launcher(self) -> list[str]:
        """The launcher's command line, behind the interpreter."""
        grid, root = str(self.grid), str(self.root)
        return ["sweeps/launch.py", grid, "--cluster", "slurm", "--root", root]
