"""What submitit runs: one array element, which is one job or several that share a process.

Each job's `job.json` says what to do, and `jobs/<kind>.py` beside this package does it, loaded by its
path: inside a snapshot that is the snapshot's. A packed element runs all its jobs, records each failure
and goes on; it fails only if none succeeded. A job whose result is there already is passed over.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import resource
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import valley
from valley.cluster.rendezvous import leave_process_group, place
from valley.errors import UserError
from valley.processes import this_process
from valley.records import write_json
from valley.store import JobFile, Store, read_job, write_failure, write_result

logger = logging.getLogger(__name__)

Run = Callable[[JobFile], dict[str, Any]]


class ElementFailed(RuntimeError):
    """None of an element's jobs succeeded. Their tracebacks stand above it in the log."""


def run_element(folders: list[str], snapshot: str | None = None) -> None:
    """Run the jobs in these folders, one after another, in this process.

    Args:
        snapshot: the folder that the code must come from; another's is refused, since it may have been
            edited after the launch.

    Raises:
        ElementFailed: no job succeeded.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    code = Path(valley.__file__).resolve().parent.parent
    if snapshot is not None and code != Path(snapshot).resolve():
        raise ElementFailed(f"the code comes from {code}, and not from the snapshot {snapshot}")
    succeeded = 0
    for folder in folders:
        succeeded += run_job(Path(folder))
    if succeeded:
        # Only now: a rank whose job failed may not come here, and would be waited for.
        leave_process_group()
    else:
        raise ElementFailed(f"none of {len(folders)} jobs succeeded; their errors stand above")


def run_job(path: Path) -> bool:
    """Run one job unless its result is there; whether it has a result at the end.

    A failure is recorded in the job's folder, and its traceback goes to the log; nothing is raised.
    """
    job = read_job(path)
    leads = place().rank == 0
    store = Store(job.folder.parents[2].parent)
    if store.result(job.kind, job.identity) is not None:
        logger.info("%s %s: result is there already", job.kind, job.label)
        return True
    missing = [role for role, at in job.inputs.items() if not (at / "result.json").is_file()]
    if missing:
        logger.error("%s %s: no result of its %s; passed over", job.kind, job.label, missing[0])
        return False
    if leads:
        (job.folder / "failed.json").unlink(
            missing_ok=True
        )  # an earlier attempt's, after a requeue
        who = {"schema": "valley.running/1", **this_process(), "log": log_path()}
        write_json(job.folder / "running.json", who)
    logger.info("%s %s: starts in %s", job.kind, job.label, job.folder)
    clock, cpu = time.perf_counter(), _cpu_s()
    try:
        outcome = load_kind(job.kind)(job)
        if leads:
            cost = {
                "wall_s": round(time.perf_counter() - clock, 3),
                "cpu_s": round(_cpu_s() - cpu, 3),
                "ranks": place().world_size,
            }
            write_result(job, outcome, cost, provenance())
    except Exception as error:
        traceback.print_exc()
        if leads:
            said = (
                str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            )
            write_failure(job, said.splitlines()[0] if said else type(error).__name__, log_path())
        return False
    logger.info("%s %s: done in %.1f s", job.kind, job.label, time.perf_counter() - clock)
    return True


def load_kind(kind: str) -> Run:
    """The `run` function of `jobs/<kind>.py` beside this package."""
    path = Path(valley.__file__).resolve().parent.parent / "jobs" / f"{kind}.py"
    name = f"valley_jobs_{kind}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None or not path.is_file():
            raise UserError(
                f"{path}: no such job script; valley must run from a checkout or snapshot"
            )
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    run: Run = sys.modules[name].run
    return run


def foreground(arguments: list[str]) -> int:
    """`python jobs/<kind>.py JOB.json`: run one job here and now, unless its result is there."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    if len(arguments) != 1 or arguments[0] in ("-h", "--help"):
        print(
            "usage: python jobs/<kind>.py JOB.json\n\nRun one job of the store in the foreground."
        )
        return 0 if arguments and arguments[0] in ("-h", "--help") else 2
    path = Path(arguments[0])
    if not path.exists():
        raise UserError(f"{path}: no such file; give a job.json of the store")
    return 0 if run_job(path) else 1


def log_path() -> str:
    """Where this process's output goes, if a scheduler redirected it to a file."""
    try:
        target = os.readlink("/proc/self/fd/2")
    except OSError:
        return ""
    return target if target.startswith("/") and not target.startswith("/dev/") else ""


def provenance() -> dict[str, Any]:
    """Where a result comes from: code, package versions, machine, and Slurm's ids."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {}
    for package in ("valley", "torch", "transformers", "deepspeed", "vllm", "numpy"):
        if package == "valley" or package in sys.modules:
            try:
                versions[package] = version(package)
            except PackageNotFoundError:
                versions[package] = valley.__version__ if package == "valley" else "unknown"
    slurm = {
        k: v
        for k, v in os.environ.items()
        if k in ("SLURM_ARRAY_JOB_ID", "SLURM_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_NODELIST")
    }
    return {
        "snapshot": Path(valley.__file__).resolve().parent.parent.name,
        "python": sys.version.split()[0],
        "versions": versions,
        "hostname": socket.gethostname(),
        "device": _device(),
        "slurm": slurm,
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _device() -> str:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return "cpu"


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
