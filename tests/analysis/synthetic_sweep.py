"""A sweep on disk whose scores are known: what launch.py would leave, without a training."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

PROFILES = ("greedy", "direct")
NORMAL = NormalDist()
SIZES = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
DEEP = dict(zip(SIZES, (0.60, 0.58, 0.42, 0.06, 0.14, 0.22, 0.30, 0.55, 0.93), strict=True))


@dataclass
class World:
    """Writes cells whose true scores the test chooses, with difficulties shared by all cells."""

    root: Path
    name: str = "demo"
    problems: int = 300
    samples: int = 1
    seed: int = 0
    seed_sd: float = 0.02
    student: str = "tiny"
    digest: str = "0123abcd" * 8
    lines: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.difficulty = rng.normal(size=self.problems)
        self.rng = rng

    def cell(
        self,
        score: float | dict[str, float],
        *,
        size: int,
        stage: int = 1,
        difficulty: str = "all",
        correctness: str = "all",
        seed: int = 0,
        completion: float = 0.97,
        missing: bool | tuple[str, ...] = False,
        **axes: Any,
    ) -> None:
        """Add a cell with this true score, for each profile where a dict; `missing` profiles are
        in the manifest and not in the store."""
        scores = score if isinstance(score, dict) else dict.fromkeys(PROFILES, score)
        axes = {
            "student": self.student,
            "stage": stage,
            "size": size,
            "difficulty": difficulty,
            "correctness": correctness,
            "seed": seed,
            **{name.replace("__", "."): value for name, value in axes.items()},
        }
        label = "-".join(str(value) for value in axes.values())
        steps = axes.get("train.steps") or math.ceil(5 * size / 16)
        pool = self.job("prepare", "pool")
        self.result(pool, {})
        train = self.job("train", label) if size else None
        shift = self.rng.normal() * self.seed_sd if size else 0.0
        own = self.rng.normal(size=self.problems)
        for profile, true in scores.items():
            jobs = {
                "train": train,
                "generate": self.job("generate", f"{label}-{profile}"),
                "grade": self.job("grade", f"{label}-{profile}"),
            }
            self.lines.append(
                {
                    "schema": "valley.cell/1",
                    "cell": label,
                    "profile": profile,
                    "axes": axes,
                    "steps": steps if size else 0,
                    "before": [pool],
                    "jobs": jobs,
                }
            )
            if missing is True or (missing and profile in missing):
                continue
            if train:
                outcome = {"steps": steps, "examples": size, "tokens": 90 * size}
                self.result(train, outcome | {"loss_first": 1.9, "loss_last": 0.4})
            self.result(jobs["generate"], {"samples": self.problems * self.samples})
            self.result(jobs["grade"], self.grade(true + shift, own, completion, profile))
        self.write_manifest()

    def grade(
        self, score: float, own: np.ndarray, completion: float, profile: str
    ) -> dict[str, Any]:
        """A grade's outcome: probit in the problems' difficulty and the cell's own scatter."""
        score = min(max(score, 0.001), 0.999)
        spread = math.sqrt(1 + 1.5**2 + 0.7**2)
        logit = NORMAL.inv_cdf(score) * spread + 1.5 * self.difficulty + 0.7 * own
        chance = 0.5 * (1 + np.vectorize(math.erf)(logit / math.sqrt(2)))
        n = self.samples
        passed = self.rng.binomial(n, chance)
        completed = np.maximum(passed, self.rng.binomial(n, completion, self.problems))
        opened = np.zeros_like(passed) if profile == "direct" else np.full_like(passed, n)
        closed = np.minimum(opened, completed)
        total = n * self.problems
        metrics = {
            "pass@1": passed.sum() / total,
            "samples": total,
            "problems": self.problems,
            "completion_rate": completed.sum() / total,
            "think_opened_rate": opened.sum() / total,
            "think_closed_rate": closed.sum() / total,
            "extracted_rate": completed.sum() / total,
            "parsed_rate": completed.sum() / total,
            "pass@1_completed": passed.sum() / completed.sum() if completed.sum() else None,
            "completion_tokens_mean": 80.0,
            "completion_tokens_median": 78.0,
            "infrastructure_errors": 0,
        }
        return {
            "metrics": {
                name: value if value is None else float(value) for name, value in metrics.items()
            },
            "by_difficulty": {},
            "counts": [[n, int(c)] for c in passed],
            "completed": completed.tolist(),
            "think_closed": closed.tolist(),
            "opened": opened.tolist(),
            "problem_set": {"digest": self.digest, "problems": self.problems},
        }

    @staticmethod
    def identity(kind: str, label: str) -> str:
        return hashlib.sha256(f"{kind} {label}".encode()).hexdigest()

    def job(self, kind: str, label: str) -> str:
        identity = self.identity(kind, f"{self.name} {label}")
        return f"{kind}/{identity[:2]}/{label}-{identity[:16]}"

    def result(self, job: str, outcome: dict[str, Any], snapshot: str = "c0ffee") -> None:
        kind, _, folder = job.split("/")
        value = {
            "schema": "valley.result/1",
            "kind": kind,
            "identity": folder.rpartition("-")[2] + "0" * 48,
            "outcome": outcome,
            "cost": {"wall_s": 1.5, "cpu_s": 1.4},
            "provenance": {
                "snapshot": snapshot,
                "versions": {"torch": "2.13.0"},
                "hostname": "node1",
                "device": "cpu",
            },
        }
        path = self.root / "store" / job / "result.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value), encoding="utf-8")

    @property
    def folder(self) -> Path:
        return self.root / "sweeps" / self.name

    def write_manifest(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        text = "".join(json.dumps(line) + "\n" for line in self.lines)
        (self.folder / "manifest.jsonl").write_text(text, encoding="utf-8")


def default_sweep(
    root: Path,
    *,
    curve: dict[int, float] = DEEP,
    baseline: float = 0.62,
    direct: dict[int, float] | None = None,
    missing_sizes: tuple[int, ...] = (),
    **settings: Any,
) -> World:
    """The shape of the default grid: a size curve, pairs at two stages, twins, two profiles."""
    world = World(root, **settings)
    answered = direct or {size: 0.15 + 0.5 * score for size, score in curve.items()}
    world.cell({"greedy": baseline, "direct": baseline - 0.02}, size=0)
    for size, score in curve.items():
        for seed in (0, 1, 2) if size <= 512 else (0,):
            world.cell(
                {"greedy": score, "direct": answered[size]},
                size=size,
                seed=seed,
                completion=0.65 if score < 0.2 else 0.97,
                missing=size in missing_sizes,
            )
    for size, score in ((128, 0.3), (256, 0.58)):
        for seed in (0, 1, 2):
            world.cell({"greedy": score, "direct": 0.3}, size=size, seed=seed, train__steps=1280)
    last = curve[max(curve)]
    world.cell({"greedy": last, "direct": 0.6}, size=0, stage=2)
    for stage, scores in ((1, (0.30, 0.12, 0.28, 0.2)), (2, (0.70, 0.9, 0.93, 0.5))):
        arms = (("easy", "all"), ("hard", "all"), ("all", "correct"), ("all", "incorrect"))
        for (difficulty, correctness), score in zip(arms, scores, strict=True):
            world.cell(score, size=512, stage=stage, difficulty=difficulty, correctness=correctness)
    return world
