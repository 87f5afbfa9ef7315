"""A training that is killed and begun again, over and over: `python killed.py TASK.json` (see ranks.py).

One process imports everything once, and forks each attempt, so that an attempt costs no start-up. It
trains "whole" undisturbed, then "half" until it is done: each attempt is killed by SIGKILL at a random
moment, of its ranks one chosen at random. Every other kill comes amid a checkpoint: just before the n-th
change that the attempt makes to the disk. TASK has also "ranks", "kills", "seed". Prints a line for each
kill: how it came, and the step that was kept.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import deepspeed  # noqa: F401
import ranks
import torch

from valley.data.render import Document
from valley.student import load_model

PATIENCE_S = 5.0
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree", "os.link"}


def kill_before(change: int, folder: str) -> None:
    """Kill this process just before its n-th change to what is below a folder."""
    left = change

    def watch(event: str, arguments: tuple) -> None:
        nonlocal left
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & os.O_ACCMODE
        if not (writes or event in CHANGES) or folder not in str(arguments[0]):
            return
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def attempt(task: dict, name: str, victim: int | None = None, change: int = 0) -> list[int]:
    """Fork the ranks of one attempt; their process ids.

    Args:
        change: where it is not 0, the victim kills itself before it.
    """
    pids = []
    for rank in range(task["ranks"]):
        pid = os.fork()
        if pid == 0:
            try:
                os.environ["SUBMITIT_LOCAL_GLOBALID"] = str(rank)
                if rank == victim and change:
                    kill_before(change, f"resume {name}")
                ranks.run({**task, "configs": {name: task["configs"][name]}})
                os._exit(0)
            except BaseException as error:  # the others have lost a rank, and say so
                print(f"{type(error).__name__}: {error}", flush=True)
                os._exit(1)
        pids.append(pid)
    return pids


def ended(pids: list[int]) -> list[int]:
    """Wait for all ranks; their statuses.

    Where one failed the others are ended a little later, as srun does: one that is killed while they
    join is waited for, half an hour long.
    """
    statuses: dict[int, int] = {}
    until = float("inf")
    while len(statuses) < len(pids):
        for pid in set(pids) - set(statuses):
            found, status = os.waitpid(pid, os.WNOHANG)
            if found:
                statuses[pid] = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
        if until == float("inf") and any(statuses.values()):
            until = time.monotonic() + PATIENCE_S
        time.sleep(0.01)
    return [statuses[pid] for pid in pids]


def kept(folder: Path) -> int:
    """The newest step that has a checkpoint."""
    return max((int(path.name[5:]) for path in folder.glob("step-*")), default=0)


def main() -> None:
    torch.set_num_threads(1)
    task = json.loads(Path(sys.argv[1]).read_text())
    # Whatever is loaded at first use, now.
    load_model(Path(task["start"]), "fp32")
    Document(*task["documents"][0])
    folder, chance = Path(task["folder"]), random.Random(task["seed"])
    os.environ["SUBMITIT_LOCAL_NTASKS"] = str(task["ranks"])
    os.environ["SUBMITIT_LOCAL_JOB_ID"] = f"whole-{os.getpid()}"
    began = time.monotonic()
    assert ended(attempt(task, "whole")) == [0] * task["ranks"]
    whole_s = time.monotonic() - began
    resume = folder / "resume half"
    for kill in range(task["kills"]):
        os.environ["SUBMITIT_LOCAL_JOB_ID"] = f"half-{kill}-{os.getpid()}"
        victim = chance.randrange(task["ranks"])
        change = chance.randrange(1, 40) if kill % 2 else 0
        before = kept(resume)
        pids = attempt(task, "half", victim, change)
        if not change:
            time.sleep(chance.uniform(0, whole_s / 2))
            os.kill(pids[victim], signal.SIGKILL)
        statuses = ended(pids)
        told = f"before change {change}" if change else "by the clock"
        print(f"kill {told}: {statuses}, {before} -> {kept(resume)}", flush=True)
        assert kept(resume) >= before
    os.environ["SUBMITIT_LOCAL_JOB_ID"] = f"last-{os.getpid()}"
    assert ended(attempt(task, "half")) == [0] * task["ranks"]


if __name__ == "__main__":
    main()
