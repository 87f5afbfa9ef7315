"""One rank of a training, for tests: `python ranks.py TASK.json`, started once per rank.

`python ranks.py --serve STUDENT` imports everything once and forks the ranks it is asked for, which so cost no
start-up: see `serve`.

TASK: {"start", "documents": [[tokens, prompt_tokens]…], "configs": {name: TrainConfig}, "steps",
"folder", "ends", "file_limit"}. Every config is trained in turn in one process; the log of each lies in folder/name.
Where there are `ends` ({"by": "flag" | "kill" | "sleep" | "error", "rank", "step"}), that rank sets its stop flag,
kills itself, or hangs, at that step of each training whose name begins with "half"; "error" expects that a training
ends itself, and says how. Where there is a `file_limit`
({"rank", "bytes"}), no file that this rank writes may be larger.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import sys
import time
import traceback
from pathlib import Path

import torch

from valley.cluster.rendezvous import join_process_group, leave_process_group, place
from valley.data.render import Document
from valley.errors import Stopped, UserError
from valley.student import load_model
from valley.train.config import TrainConfig
from valley.train.head import CHUNK_LOGITS
from valley.train.loop import train
from valley.train.watchdog import Watchdog


class Flag:
    """A stop flag that is set, kills or hangs when it is looked at for the n-th time."""

    def __init__(self, ends: dict | None) -> None:
        self.ends = ends if ends and ends["rank"] == place().rank else None
        self.looks = 0

    def __call__(self) -> bool:
        self.looks += 1
        if self.ends is None or self.looks < self.ends["step"]:
            return False
        if self.ends["by"] == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.ends["by"] == "sleep":
            time.sleep(600)
        return bool(self.ends["by"] == "flag")


def end(why: str) -> None:
    """End this rank, which is stuck."""
    print(why, flush=True)
    os._exit(1)


def run(task: dict) -> None:
    """Train this rank's part of a task."""
    documents = [Document(tokens, prompt) for tokens, prompt in task["documents"]]
    folder = Path(task["folder"])
    join_process_group(place(), folder)
    for name, values in task["configs"].items():
        config = TrainConfig.model_validate(values)
        try:
            with Watchdog(config.stuck_after_s, end) as watchdog:
                train(
                    documents,
                    Path(task["start"]),
                    folder / f"model {name}",
                    config,
                    steps=task["steps"],
                    seed=3,
                    log=folder / f"{name}.jsonl",
                    stop=Flag(task["ends"] if name.startswith("half") else None),
                    alive=watchdog.alive,
                    resume=folder / f"resume {name}",
                )
        except Stopped as stop:
            print(f"{name}: {stop}, kept: {stop.kept}, gained: {stop.gained}")
        except UserError as error:
            if not task["ends"] or task["ends"]["by"] != "error":
                raise
            print(f"{name}: {error}")
    leave_process_group()


def run_file(path: Path) -> None:
    """Train this rank's part of the task in a file."""
    task = json.loads(path.read_text())
    if (limit := task["file_limit"]) and limit["rank"] == place().rank:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit["bytes"], limit["bytes"]))
    run(task)


def serve(student: Path) -> None:
    """Answer each line of the input, {"task": path, "ranks": [{"environment", "said"}…]}, with the ranks' statuses.

    What a rank says lies in the file `said`.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # to which libraries write what they think of the machine
    import deepspeed  # noqa: F401

    load_model(student, "fp32")  # whatever is loaded at first use, now
    for line in sys.stdin:
        order = json.loads(line)
        pids = [fork(Path(order["task"]), **rank) for rank in order["ranks"]]
        statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        print(json.dumps(statuses), file=answers, flush=True)


def fork(task: Path, environment: dict[str, str], said: str) -> int:
    """Start one rank; its process id."""
    if pid := os.fork():
        return pid
    status = 1
    try:
        log = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(log, stream)
        os.environ.update(environment)
        run_file(task)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def main() -> None:
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(1)
    # Or all of so small a student's logits would be one chunk, and held whole.
    CHUNK_LOGITS.update(dict.fromkeys(CHUNK_LOGITS, 2000))
    if sys.argv[1] == "--serve":
        serve(Path(sys.argv[2]))
    else:
        run_file(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
