from __future__ import annotations

import json
import os
import random
import select
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from valley.student import prepare_student
from valley.student_config import TinyStudent

HERE = Path(__file__).parent
RANKS = HERE / "ranks.py"
PATIENCE_S = 900
"""For what takes seconds, or with a compiler a minute or two, on a machine that does nothing else."""


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


class RankServer:
    """A process that forks ranks of trainings, so that only the first costs a start-up; see ranks.py."""

    def __init__(self, student: Path) -> None:
        self._server = subprocess.Popen(
            [sys.executable, str(RANKS), "--serve", str(student)],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def run(self, task: Path, places: list[dict[str, str]]) -> list[tuple[int, str]]:
        """Each rank's status, and what it said.

        Args:
            places: each rank's variables.
        """
        files = [task.with_name(f"said-{rank}") for rank in range(len(places))]
        ranks = [
            {"environment": place, "said": str(said)}
            for place, said in zip(places, files, strict=True)
        ]
        print(json.dumps({"task": str(task), "ranks": ranks}), file=self._server.stdin, flush=True)
        answers, _, _ = select.select([self._server.stdout], [], [], PATIENCE_S)
        assert answers, "the ranks have not ended"
        statuses = json.loads(self._server.stdout.readline())
        return [(status, f.read_text()) for status, f in zip(statuses, files, strict=True)]

    def end(self) -> None:
        """End it, and what it has started."""
        os.killpg(self._server.pid, signal.SIGKILL)
        self._server.communicate()


@pytest.fixture(scope="session")
def rank_server(start):
    server = RankServer(start)
    yield server
    server.end()


def in_new_processes(task: Path, places: list[dict[str, str]]) -> list[tuple[int, str]]:
    """As a rank server's `run`, but each rank starts from nothing."""
    ranks = [
        subprocess.Popen(
            [sys.executable, str(RANKS), str(task)],
            env={**os.environ, "OMP_NUM_THREADS": "1", **place},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for place in places
    ]
    output = [rank.communicate(timeout=PATIENCE_S)[0] for rank in ranks]
    return [(rank.returncode, said) for rank, said in zip(ranks, output, strict=True)]


@pytest.fixture(scope="module")
def run_ranks(tmp_path_factory, start, documents, request):
    """Train configs in `world_size` processes; returns the folder, and the logs' lines by config.

    Args:
        environment: variables of ranks that are to be started anew, and not to be forked.
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
        places = [
            {
                "SUBMITIT_LOCAL_NTASKS": str(world_size),
                "SUBMITIT_LOCAL_GLOBALID": str(rank),
                "SUBMITIT_LOCAL_JOB_ID": job,
                **(environment or {}),
            }
            for rank in range(world_size)
        ]
        start_ranks = (
            in_new_processes if environment else request.getfixturevalue("rank_server").run
        )
        statuses, output = zip(*start_ranks(task, places), strict=True)
        (folder / "said").write_text("\n=== the next rank\n".join(output))
        if ends and ends["by"] in ("kill", "sleep"):
            return folder, {}
        assert not any(statuses), "\n".join(output)[-3000:]
        lines = {
            name: [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]
            for name in configs
        }
        return folder, lines

    return run


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Send what trains the small student to one pytest-xdist worker: it shares trainings and a server.

    A group is begun before single tests, so that the longest of these do not end the session alone.
    """
    for item in items:
        if HERE in item.path.parents and "start" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("train"))
