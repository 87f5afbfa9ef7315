"""Jobs that do as their config says, run by real elements from a snapshot of their own."""

from __future__ import annotations

import shutil
from pathlib import Path

import valley
from valley.cluster.arrays import Array, Element
from valley.cluster.config import Resources
from valley.job import Job
from valley.job_file import identity_of
from valley.ledger import Ledger
from valley.state import knowledge
from valley.store import Store

SCRIPT = """
import os, signal, time
from valley.cluster.rendezvous import place
from valley.processes import this_process
from valley.records import write_json

def run(job):
    config, rank = job.config, place().rank
    with (job.folder / "attempts").open("a") as attempts:
        attempts.write("x")
    write_json(job.folder / f"process-{rank}.json", this_process())
    if rank in (config.get("fails_in_rank"), config.get("in_rank")):
        while not (job.folder / "process-0.json").exists():
            time.sleep(0.05)
    if config.get("fails_in_rank") == rank:
        raise ValueError("no luck")
    if "allocates_mib" in config:
        memory = bytearray(config["allocates_mib"] << 20)
    if "raises" in config:
        raise OSError(*config["raises"])
    here = config.get("in_rank", rank) == rank
    if "sends" in config and here and (job.folder / "attempts").stat().st_size <= config.get("times", 99):
        name, to = config["sends"]
        os.kill(os.getppid() if to == "controller" else os.getpid(), getattr(signal, name))
    began = time.time()
    time.sleep(config.get("sleeps_s", 0))
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
    return {"gpus": gpus, "began": began, "ended": time.time()}
"""
DIES = {"sends": ["SIGKILL", "itself"]}


def make_snapshot(folder: Path) -> Path:
    """Copy this code to a folder, with scripted jobs in place of the real ones."""
    source = Path(valley.__file__).parent
    shutil.copytree(source, folder / "valley", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "jobs").mkdir()
    for kind in ("prepare", "train", "grade"):
        (folder / "jobs" / f"{kind}.py").write_text(SCRIPT)
    return folder


class World:
    """A root, and what is known of the jobs in it."""

    def __init__(self, root: Path, snapshot: Path) -> None:
        self.store = Store(root)
        self.ledger = Ledger(root / "sweeps" / "s")
        self.ledger.folder.mkdir(parents=True)
        self.snapshot = snapshot

    def folder(self, job):
        return self.store.folder(job.kind, job.label, job.identity)

    def attempts(self, *jobs):
        paths = [self.folder(job) / "attempts" for job in jobs]
        return [len(path.read_text()) if path.exists() else 0 for path in paths]

    def outcome(self, job):
        return self.store.result(job.kind, job.identity)["outcome"]

    def known(self, job):
        self.store.refresh()
        return knowledge(self.store, self.ledger.submissions())(job)


def job(name, kind="prepare", inputs=None, **config):
    """A job of this name; `config` is what it is to do."""
    config = {"name": name, **config}
    inputs = inputs or {}
    ids = {role: parent.identity for role, parent in inputs.items()}
    return Job(kind, identity_of(kind, config, ids), name, config, inputs)


def array(*packs, **resources):
    """An array with an element per pack."""
    made = Array("test", packs[0][0].kind, Resources(**resources))
    made.elements = [Element(list(pack), made, index) for index, pack in enumerate(packs)]
    return made
