"""What submitit runs: one array element, which is one job or several that share a process.

Each job's `job.json` says what to do, and `jobs/<kind>.py` beside this package does it, loaded by its
path: inside a snapshot that is the snapshot's. A packed element runs all its jobs, records each failure
and goes on; it fails only if none succeeded. A job whose result is there already is passed over, so an
element that is begun again goes on with what it had not finished; see requeue.py.

Several ranks share one job alone. Where it fails in one of them, the others may wait for that one in a
collective operation for ever, so the one that failed ends them all.
"""

from __future__ import annotations

import logging
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, NoReturn

import valley
from valley.cluster.kinds import load_kind
from valley.cluster.provenance import provenance
from valley.cluster.rendezvous import leave_process_group, place
from valley.cluster.requeue import RequeuePolicy, end_between, end_stopped
from valley.cluster.signals import Interrupted, stop_signals
from valley.cluster.stints import begin_stint, end_stint
from valley.errors import Stopped, UserError
from valley.job_file import JobFile, read_job, write_failure, write_result
from valley.processes import STARTED, children_of, is_alive, this_process
from valley.records import write_json
from valley.store import Store
from valley.weights import MARKER, lacks_weights

logger = logging.getLogger(__name__)

Outcome = Literal["made", "there", "none"]
"""Whether a job has a result: made by this process, there before, or none."""
JOURNALED = "journaled"
"""In a local submission's folder: there once the journal names the process that was started."""
WAIT_S = 0.05


class ElementFailed(RuntimeError):
    """None of an element's jobs succeeded. Their tracebacks stand above it in the log."""


def run_element(
    folders: list[str],
    snapshot: str | None = None,
    launcher: dict[str, Any] | None = None,
    gpus: list[str] | None = None,
    requeue: RequeuePolicy | None = None,
) -> None:
    """Run the jobs in these folders, one after another, in this process.

    Args:
        snapshot: the folder that the code must come from; another's is refused, since it may have been
            edited after the launch.
        launcher: the process that started this one on the same machine. Nothing is run before it has
            written the submission down: a later launch would know nothing of this process, and would
            start the same jobs.
        gpus: the only GPUs that the jobs may use, as CUDA_VISIBLE_DEVICES names them; None leaves
            that to the scheduler.
        requeue: what to do at the time limit; None never requeues.

    Raises:
        ElementFailed: no job succeeded. Of several ranks none returns then: all are ended.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    code = Path(valley.__file__).resolve().parent.parent
    if snapshot is not None and code != Path(snapshot).resolve():
        raise ElementFailed(f"the code comes from {code}, and not from the snapshot {snapshot}")
    if gpus is not None:
        # Before torch is imported, which reads it once.
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus)
    if "SUBMITIT_EXECUTOR" in os.environ:
        stop_signals.install()
    policy = requeue or RequeuePolicy()
    if launcher is not None:
        with stop_signals.interrupting():
            _await_journal(launcher)
    outcomes: list[Outcome] = []
    for folder in folders:
        if stop_signals.reason:
            end_between(policy, outcomes.count("made"))
        try:
            outcomes.append(run_job(Path(folder)))
        except (Stopped, Interrupted) as stop:
            made = outcomes.count("made")
            end_stopped(read_job(Path(folder)), stop, made, policy, log_path())
    if set(outcomes) & {"made", "there"}:
        # Only now: a rank whose job failed may not come here, and would be waited for.
        leave_process_group()
        return
    message = f"none of {len(folders)} jobs succeeded; their errors stand above"
    if place().world_size > 1:
        _end_all_ranks(message)
    raise ElementFailed(message)


def _await_journal(launcher: dict[str, Any]) -> None:
    folder = Path(os.environ["SUBMITIT_FOLDER"])
    if place().rank == 0:
        write_json(folder / STARTED, this_process())
    while not (folder / JOURNALED).exists():
        if not is_alive(launcher) and not (folder / JOURNALED).exists():
            raise ElementFailed("its launcher ended before it had written this submission down")
        time.sleep(WAIT_S)


def _end_all_ranks(message: str) -> NoReturn:
    """End this rank at once, and the others with it.

    An orderly end would wait in the process group for ranks that wait for this one. On Slurm srun
    ends the others (`--kill-on-bad-exit`). submitit's controller of local ranks would wait for them.
    """
    logger.error("%s; ending all ranks", message)
    sys.stdout.flush()
    sys.stderr.flush()
    if os.environ.get("SUBMITIT_LOCAL_JOB_ID") == str(os.getppid()):
        for rank in children_of(os.getppid()):
            if rank != os.getpid():
                with suppress(ProcessLookupError):
                    os.kill(rank, signal.SIGKILL)
    os._exit(1)


def end_stuck(job: JobFile, why: str) -> NoReturn:
    """End a job that has come to a standstill, in all its ranks; called from a thread beside it."""
    if not (job.folder / "failed.json").exists():
        write_failure(job, why, log_path())
    if place().rank == 0:
        end_stint(job.folder, "failed")
    _end_all_ranks(why)


def run_job(path: Path) -> Outcome:
    """Run one job unless its result and weights are there; whether it has a result at the end.

    A failure is recorded in the job's folder, and its traceback goes to the log.

    Raises:
        Stopped, Interrupted: this process was told to stop, and the job has no end yet.
    """
    job = read_job(path)
    leads = place().rank == 0
    store = Store(job.folder.parents[2].parent)
    result = store.result(job.kind, job.identity)
    if result is not None and not lacks_weights(job.folder, result):
        logger.info("%s %s: result is there already", job.kind, job.label)
        if leads:
            _forget_resume(job)
        return "there"
    if _is_anothers(job):
        logger.info("%s %s: submitted again since; passed over", job.kind, job.label)
        return "none"
    missing = [role for role, at in job.inputs.items() if not _is_there(at)]
    if missing:
        logger.error(
            "%s %s: no result or no weights of its %s; passed over",
            job.kind,
            job.label,
            missing[0],
        )
        return "none"
    if leads:
        _clear_earlier_failure(job)
        begin_stint(job.folder)
        who = {"schema": "valley.running/1", **this_process(), "log": log_path()}
        who["began"] = round(time.time(), 3)
        write_json(job.folder / "running.json", who)
    logger.info("%s %s: starts in %s", job.kind, job.label, job.folder)
    clock, cpu = time.perf_counter(), _cpu_s()
    try:
        with stop_signals.interrupting():
            outcome = load_kind(job.kind)(job)
        if leads:
            cost = {
                "wall_s": round(time.perf_counter() - clock, 3),
                "cpu_s": round(_cpu_s() - cpu, 3),
                "ranks": place().world_size,
            }
            # A job that puts others' results together says by what these were made.
            parts = outcome.pop("provenance_of_parts", None)
            write_result(job, outcome, cost, provenance(parts))
            end_stint(job.folder, "done")
            _forget_resume(job)
    except Stopped:
        raise
    except Exception as error:
        said, shown = _described(error)
        print(shown, file=sys.stderr, flush=True)
        # Any rank may be the one that fails, and the first tells the reason: what the others then
        # say is that they have lost it.
        if not (job.folder / "failed.json").exists():
            first = said.splitlines()[0] if said else type(error).__name__
            write_failure(job, first, log_path(), shown)
        if leads:
            end_stint(job.folder, "failed")
        return "none"
    logger.info("%s %s: done in %.1f s", job.kind, job.label, time.perf_counter() - clock)
    return "made"


def _described(error: Exception) -> tuple[str, str]:
    """What a failure is in a line, and what the log has of it: a user's mistake needs no traceback."""
    if isinstance(error, UserError):
        return str(error), f"UserError: {error}"
    trace = "".join(traceback.format_exception(error))
    return f"{type(error).__name__}: {error}", trace


def _is_anothers(job: JobFile) -> bool:
    """Whether this process belongs to an earlier submission than the job does now.

    However an array came to be forgotten and submitted once more, its jobs are not run twice at once.
    """
    mine, owner = os.environ.get("SUBMITIT_FOLDER"), job.execution.get("submission")
    return mine is not None and owner is not None and mine != owner


def _is_there(folder: Path) -> bool:
    """Whether a job that is another's input has a result, and its weights if it makes any."""
    return (folder / "result.json").is_file() and not (folder / MARKER).exists()


def _clear_earlier_failure(job: JobFile) -> None:
    """Remove what an attempt before a requeue, or before one by hand, left.

    A launch has removed it already, so of several ranks the first must leave what another may have
    written a moment ago.
    """
    if place().world_size == 1 or os.environ.get("SLURM_RESTART_COUNT", "0") != "0":
        (job.folder / "failed.json").unlink(missing_ok=True)
    (job.folder / "stopped.json").unlink(missing_ok=True)


def _forget_resume(job: JobFile) -> None:
    """Remove what a job kept to go on from, now that its result is safe, and what killed starts left."""
    shutil.rmtree(job.folder / "resume", ignore_errors=True)
    for note in job.folder.glob("rendezvous-*.json"):
        note.unlink(missing_ok=True)


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
    if place().rank == 0:
        _refuse_second(read_job(path))
    return 1 if run_job(path) == "none" else 0


def _refuse_second(job: JobFile) -> None:
    """Refuse a job that another process is at: both would write the same files."""
    running = Store(job.folder.parents[2].parent).running(job.kind, job.identity)
    alive = False if running is None else is_alive(running)
    if running is not None and alive is not False:
        raise UserError(
            f"{job.folder}: process {running.get('pid')} on {running.get('host')} is at work at this job "
            f"(log: {running.get('log') or 'none'}); wait for its end or cancel it"
            + ("" if alive else ", or if you know that it is dead remove running.json there")
        )


def log_path() -> str:
    """Where this process's output goes, if a scheduler redirected it to a file."""
    try:
        target = os.readlink("/proc/self/fd/2")
    except OSError:
        return ""
    return target if target.startswith("/") and not target.startswith("/dev/") else ""


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)
