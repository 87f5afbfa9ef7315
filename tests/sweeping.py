"""A small sweep and the commands on it, for tests that run the real thing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parent.parent

MINI = """
name: mini
students:
  tiny:
    source: tiny
    layers: 1
    hidden: 32
    intermediate: 48
    heads: 2
    first_lessons: {epochs: 1, batch_size: 16, learning_rate: 1.0e-3, precision: fp32}
data: {source: tiny, evaluation_problems: 10, pool_traces: 60, direct_answers: 64}
train: {epochs: 1, batch_size: 8, learning_rate: 1.0e-3, precision: fp32}
generate: {batch_size: 10, precision: fp32, profiles: {greedy: {max_tokens: 24}, direct: {max_tokens: 24, prefill: "```python"}}}
stages: {1: {}, 2: {from: {size: 16}}}
grid:
  - {size: [0, 8, 16]}
  - {stage: 2, size: 8, difficulty: [easy, hard]}
resources: {train: {pack: 8}, generate: {pack: 8}, grade: {pack: 8}}
preview: {tokens_per_trace: 85, tokens_per_answer: 60, train_tflops: 0.045, generate_tokens_per_s: 15000, grade_samples_per_s: 250, startup_s: 6}
"""


def command(
    script: str, *arguments: str, root: Path, **options: Any
) -> subprocess.CompletedProcess:
    """Run a script as a user does, from the repository's root."""
    return subprocess.run(
        [sys.executable, script, *arguments, "--root", str(root)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=options.pop("timeout", 400),
        env={**os.environ, "OMP_NUM_THREADS": "1", **options.pop("env", {})},
        **options,
    )


def launch(grid: Path, root: Path, *arguments: str, **options: Any) -> subprocess.CompletedProcess:
    """`python sweeps/launch.py GRID --cluster local …`"""
    return command(
        "sweeps/launch.py", str(grid), "--cluster", "local", *arguments, root=root, **options
    )


def copy_beginning(whole: Path, root: Path, *, trained: bool = True) -> Path:
    """Give a new root what comes before any cell of a finished sweep: what is prepared, and the first lessons.

    Args:
        trained: whether the first lessons are there too.
    """
    folders = [*whole.glob("store/prepare/*/*")]
    if trained:
        folders += whole.glob("store/train/*/*-first-lessons-*")
    for folder in folders:
        shutil.copytree(folder, root / folder.relative_to(whole))
    return root


def status(root: Path, *arguments: str) -> list[dict[str, Any]]:
    """The rows of `python sweeps/status.py --json`."""
    done = command("sweeps/status.py", "--json", *arguments, root=root)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["cells"]


def results(root: Path, kind: str) -> dict[str, dict[str, Any]]:
    """All results of a kind, by their folder's name."""
    return {
        path.parent.name: json.loads(path.read_text())
        for path in root.glob(f"store/{kind}/*/*/result.json")
    }
