from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from valley.student import prepare_student
from valley.student_config import TinyStudent


@pytest.fixture(scope="session")
def start(tmp_path_factory) -> Path:
    """A small random student."""
    folder = tmp_path_factory.mktemp("a student")
    student = TinyStudent(layers=2, hidden=32, intermediate=48, heads=2, seed=1)
    prepare_student(
        student.semantic(), student.execution(), ["a b c d e f g h 0 1 2 3 4 5 6 7 8 9"], folder
    )
    return folder


@pytest.fixture(scope="session")
def documents() -> list[tuple[list[int], int]]:
    """Documents of very unequal length, so that a mean of means is far from the mean."""
    rng = random.Random(0)
    lengths = [5, 6, 7, 8, 40, 60, 9, 5] * 5
    return [([rng.randrange(3, 20) for _ in range(n)], rng.randrange(2, 4)) for n in lengths]


@pytest.fixture(scope="module")
def run_ranks(tmp_path_factory, start, documents):
    """Train configs in `world_size` processes; returns the folder, and the logs' lines by config.

    Args:
        ends, file_limit: how one rank is to stop, kill or hang all trainings on their way, see ranks.py.
        folder: that of an earlier run, to resume from.
    """
    base = tmp_path_factory.mktemp("a folder of trainings")

    def run(
        configs,
        world_size,
        steps=30,
        environment=None,
        ends=None,
        folder=None,
        file_limit=None,
    ):
        folder = folder or base / uuid.uuid4().hex[:6]
        folder.mkdir(exist_ok=True)
        task = folder / "task.json"
        task.write_text(
            json.dumps(
                {
                    "start": str(start),
                    "documents": documents,
                    "configs": configs,
                    "steps": steps,
                    "folder": str(folder),
                    "ends": ends,
                    "file_limit": file_limit,
                }
            )
        )
        job = uuid.uuid4().hex
        ranks = [
            subprocess.Popen(
                [sys.executable, str(Path(__file__).parent / "ranks.py"), str(task)],
                env={
                    **os.environ,
                    "OMP_NUM_THREADS": "1",
                    "SUBMITIT_LOCAL_NTASKS": str(world_size),
                    "SUBMITIT_LOCAL_GLOBALID": str(rank),
                    "SUBMITIT_LOCAL_JOB_ID": job,
                    **(environment or {}),
                },
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for rank in range(world_size)
        ]
        output = [rank.communicate(timeout=300)[0] for rank in ranks]
        (folder / "said").write_text("\n=== the next rank\n".join(output))
        if ends and ends["by"] in ("kill", "sleep"):
            return folder, {}
        assert all(rank.returncode == 0 for rank in ranks), "\n".join(output)[-3000:]
        lines = {
            name: [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
            for name in configs
        }
        return folder, lines

    return run
