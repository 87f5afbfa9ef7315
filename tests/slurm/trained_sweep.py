"""A sweep of this checkout's own jobs, with a training long enough to be disturbed in its midst."""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
from pathlib import Path

from disturbed import REPOSITORY, DisturbedSweep
from sweeping import MINI

GRID = (
    MINI.partition("stages:")[0].replace("name: mini", "name: disturbed")
    + "grid: [{size: 8, train.steps: 1500}]\nresources: {train: {pack: 1}}\n"
    + "preview: {startup_s: 1}\n"
).replace("train: {epochs: 1,", "train: {epochs: 1, checkpoint_every_s: 1,")


def make_real_checkout(folder: Path) -> Path:
    """A copy of this checkout, jobs and all."""
    ignored = shutil.ignore_patterns("__pycache__")
    for part in ("valley", "sweeps", "jobs"):
        shutil.copytree(REPOSITORY / part, folder / part, ignore=ignored)
    return folder


class TrainedSweep(DisturbedSweep):
    """One cell, whose training keeps a checkpoint every second."""

    def __init__(self, checkout: Path, root: Path) -> None:
        """Nothing is launched yet."""
        super().__init__(checkout, root, grid=GRID)

    @property
    def training(self) -> Path | None:
        """The folder of the cell's training, once there is one."""
        return next(iter(self.root.glob("store/train/*/*n8*")), None)

    def kept(self) -> list[Path]:
        """The checkpoints to resume from that are whole, oldest first."""
        folder = self.training
        found = folder.glob("resume/step-*") if folder else []
        whole = [path for path in found if path.name.removeprefix("step-").isdigit()]
        return sorted(whole, key=lambda path: int(path.name.removeprefix("step-")))

    def whys(self) -> list[str]:
        """How each stint at the training has ended; empty while it is at work."""
        path = self.training / "stints.jsonl" if self.training else None
        lines = path.read_text().splitlines() if path and path.exists() else []
        return [json.loads(line)["why"] for line in lines]

    def answers(self) -> dict[str, str]:
        """The weights of every training, to the bit, and every cell's counts, by their job's identity."""
        found = {}
        for path in self.root.glob("store/*/*/*/result.json"):
            result = json.loads(path.read_text())
            if result["kind"] == "train":
                weights = (path.parent / "model" / "model.safetensors").read_bytes()
                found[result["identity"]] = hashlib.sha256(weights).hexdigest()
            elif result["kind"] == "grade":
                found[result["identity"]] = json.dumps(result["outcome"]["per_problem"])
        return found

    def overlaps(self) -> list[tuple[str, str, str]]:
        """Stints at one job that were at work at once: there must be none."""
        found = []
        for path in self.root.glob("store/*/*/*/stints.jsonl"):
            stints = [json.loads(line) for line in path.read_text().splitlines()]
            for one, two in itertools.pairwise(stints):
                if one["ended"] is not None and two["began"] < one["ended"]:
                    found.append((path.parent.name, one["slurm"], two["slurm"]))
        return found
