"""The folder of one submission to Slurm: all that its array needs, complete before sbatch is called.

    submission.sh            what sbatch is given
    element.pkl              the call that submitit's runner makes in every element
    <array>_<index>_*        made by the elements: a link to element.pkl, logs, submitit's result

submitit's own `map_array` writes a pickle per element under a name of chance, and gives it the job's id
once sbatch has told it: a launcher that is killed in between leaves an array that can never run. Here
the script and the runner are submitit's too, but the script itself makes the name that the runner looks
for. One pickle serves all elements, so that a thousand of them cost a launch no more than one.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from submitit.core.utils import DelayedSubmission
from submitit.slurm.slurm import SlurmExecutor

from valley.cluster.array_element import run_array_element
from valley.cluster.arrays import Array
from valley.cluster.config import ClusterConfig, Resources
from valley.cluster.environment import environment_lines
from valley.cluster.requeue import RequeuePolicy
from valley.ledger import SCRIPT
from valley.records import write_text

PICKLE = "element.pkl"


class _Executor(SlurmExecutor):  # type: ignore[misc]
    """submitit's executor, of which only the script is wanted."""

    @classmethod
    def affinity(cls) -> int:
        """Scripts are also written where Slurm is not installed."""
        return 2


def write_submission(
    array: Array,
    work: Mapping[int, list[str]],
    folder: Path,
    config: ClusterConfig,
    snapshot: Path,
    dependency: str | None = None,
    script: Path | None = None,
) -> Path:
    """Write an array's script, and what it needs beside it.

    Args:
        work: the folders of the jobs of each element, by its index.
        folder: the submission's, which exists.
        dependency: as sbatch is told it, such as `afterok:7`.
        script: where to write the script; null is in the folder.
    """
    resources = array.resources
    # submitit takes a command line here, which is not quoted again.
    python = shlex.quote(resources.python) if resources.python else None
    executor = _Executor(folder, python=python)
    executor.update_parameters(
        **sbatch_parameters(array, sorted(work), folder, config, snapshot, dependency)
    )
    # Makes submitit name logs by array and index. The indices themselves are among the parameters.
    executor.parameters["map_count"] = len(work)
    call = DelayedSubmission(run_array_element, dict(work), str(snapshot), RequeuePolicy.of(config))
    call.set_timeout(resources.time_limit_min, executor.max_num_timeout)
    call.dump(folder / PICKLE)
    script = script or folder / SCRIPT
    write_text(script, executor._make_submission_file_text(executor._submitit_command_str, ""))
    return script


def sbatch_parameters(
    array: Array,
    indices: Sequence[int],
    folder: Path,
    config: ClusterConfig,
    snapshot: Path,
    dependency: str | None,
) -> dict[str, Any]:
    """submitit's parameters for an array of these indices."""
    resources = array.resources
    throttle = site_value("array_throttle", resources, config)
    extra: dict[str, Any] = {"chdir": str(folder)}
    extra["requeue" if config.requeue else "no-requeue"] = True
    # Said in any case: one who submits a printed script states the dependency by hand.
    extra["kill-on-invalid-dep"] = "yes" if config.kill_on_invalid_dep else "no"
    if dependency:
        extra["dependency"] = dependency
    for name in ("account", "partition", "qos", "constraint"):
        if value := site_value(name, resources, config):
            extra[name] = value
    extra.update(config.slurm_parameters)
    extra["array"] = spelled(indices) + (f"%{throttle}" if throttle else "")
    parameters: dict[str, Any] = {
        "job_name": array.name,
        "nodes": resources.nodes,
        "ntasks_per_node": resources.tasks_per_node,
        "cpus_per_task": resources.cpus_per_task,
        "time": resources.time_limit_min,
        "signal_delay_s": min(config.signal_lead_s, resources.time_limit_min * 30),
        # Or ranks that wait for one that failed would wait till the time limit.
        "srun_args": ["--kill-on-bad-exit=1"],
        # Sent as `submitit` otherwise, which sites without such a key refuse.
        "wckey": "",
        "additional_parameters": extra,
        "setup": [
            *config.setup,
            *resources.setup,
            *environment_lines(resources, snapshot),
            *_link_lines(folder),
        ],
    }
    if resources.gpus_per_node:
        parameters["gpus_per_node"] = resources.gpus_per_node
    if resources.memory_gib is not None:
        parameters["mem"] = f"{round(resources.memory_gib * 1024)}M"
    return parameters


def site_value(name: str, resources: Resources, config: ClusterConfig) -> Any:
    """A setting of the kind's own where it has one, else the cluster's."""
    own = getattr(resources, name)
    return getattr(config, name) if own is None else own


def spelled(indices: Sequence[int]) -> str:
    """Rising indices as sbatch reads them: `0-3,7`."""
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][1] + 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _link_lines(folder: Path) -> list[str]:
    """Shell lines, run once per element: the name under which submitit's runner looks for its call.

    What is there already stays: after a requeue it may be a call that submitit has changed.
    """
    task = '"$SLURM_ARRAY_JOB_ID"_"$SLURM_ARRAY_TASK_ID"_submitted.pkl'
    own = f"{shlex.quote(str(folder))}/{task}"
    return [f"test -e {own} || ln -s {PICKLE} {own}"]
