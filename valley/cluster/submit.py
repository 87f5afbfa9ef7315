"""Submission to Slurm: every array becomes one sbatch, through a submitit executor of its own.

An executor of its own, since submitit cannot clear a dependency once set, and since kinds may differ in
their interpreter. The intent is written to the journal before each sbatch and the id after it; the
submission's folder is named by the intent and is the array's working folder, by which squeue can
find an array whose id was never written down.
"""

from __future__ import annotations

import os
import shlex
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from valley.cluster.arrays import Array, Element
from valley.cluster.config import ClusterConfig, Resources
from valley.cluster.element import run_element
from valley.cluster.requeue import RequeuePolicy
from valley.errors import UserError
from valley.ledger import Ledger
from valley.store import Store


def lay_jobs(store: Store, element: Element) -> list[str]:
    """Make the folders of an element's jobs and write their descriptions; their paths."""
    folders = []
    for job in element.jobs:
        resources = element.array.resources
        folder = store.lay(job, {**job.execution, "workers": resources.cpus_per_task})
        folders.append(str(folder))
    return folders


def journal_intent(
    ledger: Ledger, array: Array, elements: list[Element], cluster: str
) -> tuple[str, Path]:
    """Write down what is about to be submitted, and make its folder.

    Returns:
        The intent's name, and the submission folder named by it.
    """
    intent = f"{time.strftime('%m%d-%H%M%S')}-{array.name}-{uuid.uuid4().hex[:6]}"
    folder = ledger.folder / cluster / intent
    folder.mkdir(parents=True)
    ledger.append(
        {
            "event": "intent",
            "at": time.time(),
            "intent": intent,
            "cluster": cluster,
            "folder": f"{cluster}/{intent}",
            "elements": [[job.identity for job in element.jobs] for element in elements],
        }
    )
    return intent, folder.resolve()


def submit_to_slurm(
    arrays: list[Array],
    config: ClusterConfig,
    ledger: Ledger,
    store: Store,
    snapshot: Path,
    live: Mapping[str, str],
) -> list[tuple[Array, str]]:
    """Submit arrays, parents before children.

    Args:
        live: of jobs that are queued or running from an earlier launch, identity -> `array_index`.

    Returns:
        Each array with Slurm's id of it, in the order of submission. Names may be alike.

    Raises:
        UserError: sbatch refused; what was submitted before stays, and a new launch goes on from it.
    """
    ids: dict[int, str] = {}
    places: dict[str, str] = dict(live)
    for array in arrays:
        intent, folder = journal_intent(ledger, array, array.elements, "slurm")
        work = [lay_jobs(store, element) for element in array.elements]
        dependency = _dependency(array, ids, places)
        job_id = _sbatch(array, work, folder, config, snapshot, dependency)
        ledger.append({"event": "submitted", "intent": intent, "job_id": job_id})
        ids[id(array)] = job_id
        for element in array.elements:
            for job in element.jobs:
                places[job.identity] = task_name(job_id, element.index, len(array.elements))
    return [(array, ids[id(array)]) for array in arrays]


def task_name(job_id: str, index: int, elements: int) -> str:
    """Slurm's name of an element. submitit submits a single one as a job and not as an array."""
    return f"{job_id}_{index}" if elements > 1 else job_id


def _dependency(array: Array, ids: Mapping[int, str], places: Mapping[str, str]) -> str | None:
    parts = []
    if array.partner is not None:
        # A single element is no array, and so has no elements to correspond to.
        word = "aftercorr" if len(array.elements) > 1 else "afterok"
        parts.append(f"{word}:{ids[id(array.partner)]}")
    parts += sorted({f"afterok:{places[parent.identity]}" for parent in array.parents})
    return ",".join(parts) or None


def _sbatch(
    array: Array,
    work: list[list[str]],
    folder: Path,
    config: ClusterConfig,
    snapshot: Path,
    dependency: str | None,
) -> str:
    import submitit

    resources = array.resources
    # submitit takes a command line here, which is not quoted again.
    interpreter = {"slurm_python": shlex.quote(resources.python)} if resources.python else {}
    executor = submitit.AutoExecutor(folder=folder, cluster="slurm", **interpreter)
    executor.update_parameters(
        **sbatch_parameters(array, resources, folder, config, snapshot, dependency)
    )
    try:
        same: list[Any] = [str(snapshot), None, None, requeue_policy(config)]
        jobs = executor.map_array(run_element, work, *([each] * len(work) for each in same))
    except Exception as error:  # submitit raises several kinds, each with sbatch's message in it
        # All of it: what to do stands in a line before the last, or in a site's own words.
        said = " | ".join(line.strip() for line in str(error).splitlines() if line.strip())
        raise UserError(
            f"sbatch refused {array.name} ({len(work)} elements): "
            f"{said or type(error).__name__}; what was submitted before it stays; correct the "
            "settings and launch again"
        ) from error
    return str(jobs[0].job_id.split("_")[0])


def requeue_policy(config: ClusterConfig) -> RequeuePolicy:
    """What a site lets its elements do at their time limit."""
    return RequeuePolicy(requeue=config.requeue, time_outs=config.retry.time_outs)


def sbatch_parameters(
    array: Array,
    resources: Resources,
    folder: Path,
    config: ClusterConfig,
    snapshot: Path,
    dependency: str | None,
) -> dict[str, Any]:
    """submitit's parameters for an array."""
    extra: dict[str, Any] = {"chdir": str(folder)}
    extra["requeue" if config.requeue else "no-requeue"] = True
    if dependency:
        extra["dependency"] = dependency
        extra["kill-on-invalid-dep"] = "yes" if config.kill_on_invalid_dep else "no"
    site = {"account": config.account, "qos": config.qos}
    extra.update({name: value for name, value in site.items() if value is not None})
    extra.update(config.slurm_parameters)
    parameters: dict[str, Any] = {
        "name": array.name,
        "nodes": resources.nodes,
        "tasks_per_node": resources.tasks_per_node,
        "cpus_per_task": resources.cpus_per_task,
        "timeout_min": resources.time_limit_min,
        "slurm_signal_delay_s": min(config.signal_lead_s, resources.time_limit_min * 30),
        "slurm_array_parallelism": config.array_throttle or len(array.elements),
        # Or ranks that wait for one that failed would wait till the time limit.
        "slurm_srun_args": ["--kill-on-bad-exit=1"],
        # Sent as `submitit` otherwise, which sites without such a key refuse.
        # Sent as `submitit` otherwise, which sites without such a key refuse.
        "slurm_wckey": "",
        "slurm_additional_parameters": extra,
        "slurm_setup": [*config.setup, *environment_lines(resources, snapshot)],
    }
    if resources.gpus_per_node:
        parameters["gpus_per_node"] = resources.gpus_per_node
    if resources.memory_gib is not None:
        parameters["mem_gb"] = resources.memory_gib
    if config.partition is not None:
        parameters["slurm_partition"] = config.partition
    if config.constraint is not None:
        parameters["slurm_constraint"] = config.constraint
    return parameters


def environment_of(resources: Resources, snapshot: Path) -> dict[str, str]:
    """The variables of an element: code from the snapshot, and one thread per CPU that it was given."""
    return {
        # Before the user's own, which modules of a cluster may have set.
        "PYTHONPATH": os.pathsep.join(filter(None, [str(snapshot), os.environ.get("PYTHONPATH")])),
        "PYTHONSAFEPATH": "1",  # or a file in the working folder could stand in for a module
        "OMP_NUM_THREADS": str(resources.cpus_per_task),
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "DS_ACCELERATOR": "cuda" if resources.gpus_per_node else "cpu",
    }


def environment_lines(resources: Resources, snapshot: Path) -> list[str]:
    """The same as shell lines."""
    lines = [f"export {k}={shlex.quote(v)}" for k, v in environment_of(resources, snapshot).items()]
    # srun of Slurm 22.05 and later does not take it over from sbatch.
    return [*lines, "export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK"]


@contextmanager
def changed_environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables of this process for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
