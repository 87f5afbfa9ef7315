"""This machine: the CPUs, GPUs and memory that jobs may use at once, and what is free of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from valley.cluster.config import ClusterConfig, Resources, ResourcesByKind
from valley.errors import UserError

LIST_GPUS_TIMEOUT_S = 60


@dataclass
class Room:
    """What is free of a machine; all of it at first."""

    cpus: int
    gpus: list[str]
    """Devices as CUDA_VISIBLE_DEVICES names them."""
    memory_mib: int
    """A whole number, so that what is taken and given back leaves no remainder."""

    def fits(self, asked: Resources) -> bool:
        """Whether an element of these resources can start now."""
        return (
            cpus_of(asked) <= self.cpus
            and asked.gpus_per_node <= len(self.gpus)
            and memory_mib_of(asked) <= self.memory_mib
        )

    def take(self, asked: Resources) -> list[str]:
        """Take what an element asks for; the GPUs that are its own until `give_back`."""
        self.cpus -= cpus_of(asked)
        self.memory_mib -= memory_mib_of(asked)
        own, self.gpus = self.gpus[: asked.gpus_per_node], self.gpus[asked.gpus_per_node :]
        return own

    def give_back(self, asked: Resources, gpus: list[str]) -> None:
        """Give back what an element had."""
        self.cpus += cpus_of(asked)
        self.memory_mib += memory_mib_of(asked)
        self.gpus = [*self.gpus, *gpus]


def cpus_of(asked: Resources) -> int:
    """The CPUs of one element on one machine."""
    return asked.tasks_per_node * asked.cpus_per_task


def memory_mib_of(asked: Resources) -> int:
    """The memory of one element on one machine; 0 where none is stated."""
    return round((asked.memory_gib or 0) * 1024)


def share(asked: Resources, whole: Room) -> float:
    """The part of a machine that an element takes, by what it takes most of: 1 is all of it."""
    parts = [cpus_of(asked) / whole.cpus, memory_mib_of(asked) / whole.memory_mib]
    if whole.gpus:
        parts.append(asked.gpus_per_node / len(whole.gpus))
    return max(parts)


def room(config: ClusterConfig, *, gpus: bool) -> Room:
    """What jobs may use of this machine.

    Args:
        gpus: whether any job asks for a GPU; if none does they are not looked for, which takes
            seconds.
    """
    return Room(
        cpus=config.local_cpus or len(os.sched_getaffinity(0)),
        gpus=visible_gpus(os.environ) if gpus else [],
        memory_mib=memory_mib(),
    )


def check_room(resources: ResourcesByKind, kinds: Iterable[str], config: ClusterConfig) -> None:
    """Refuse resources that this machine does not have, before anything is written.

    Args:
        kinds: the kinds of jobs that are to run.

    Raises:
        UserError: names the setting, what it asks for, and what there is.
    """
    asked_by_kind: dict[str, Resources] = {
        kind: getattr(resources, kind) for kind in sorted(set(kinds))
    }
    here = room(config, gpus=any(asked.gpus_per_node for asked in asked_by_kind.values()))
    for kind, asked in asked_by_kind.items():
        check_asked(kind, asked, here)


def check_asked(kind: str, asked: Resources, here: Room) -> None:
    """Refuse what would never fit into an empty machine.

    Raises:
        UserError: names the setting, what it asks for, and what there is.
    """
    where = f"resources.{kind}"
    if asked.nodes > 1:
        raise UserError(
            f"{where}.nodes is {asked.nodes}, and this is one machine; set it to 1, or launch "
            "on a cluster"
        )
    if cpus_of(asked) > here.cpus:
        raise UserError(
            f"{where} asks for {cpus_of(asked)} CPUs (tasks_per_node x cpus_per_task), and jobs "
            f"may use {here.cpus} here; ask for fewer"
        )
    if asked.gpus_per_node > len(here.gpus):
        raise UserError(
            f"{where}.gpus_per_node is {asked.gpus_per_node}, and jobs may use {len(here.gpus)} "
            "GPUs here (CUDA_VISIBLE_DEVICES, or else nvidia-smi -L); ask for fewer, or launch "
            "on a cluster"
        )
    if memory_mib_of(asked) > here.memory_mib:
        raise UserError(
            f"{where}.memory_gib is {asked.memory_gib:g}, and jobs may use "
            f"{here.memory_mib / 1024:.1f} GiB here; ask for less, or launch on a cluster"
        )


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """The GPUs that a process with this environment may use, named as CUDA_VISIBLE_DEVICES does.

    They are those of CUDA_VISIBLE_DEVICES where it is set, up to the first that is no device, as
    CUDA reads it; else those that nvidia-smi lists.
    """
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is None:
        return _listed_gpus()
    devices: list[str] = []
    for device in map(str.strip, named.split(",")):
        if not (device.isdigit() or device.startswith(("GPU-", "MIG-"))):
            break
        devices.append(device)
    return devices


def _listed_gpus() -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        listing = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=LIST_GPUS_TIMEOUT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return []
    return re.findall(r"^GPU (\d+):", listing.stdout, re.MULTILINE)


def memory_mib(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """This machine's memory, or less where a control group (a container, a batch job) limits it."""
    facts = dict(line.split(":", 1) for line in (proc / "meminfo").read_text().splitlines())
    limits = [int(facts["MemTotal"].removesuffix("kB")) * 1024]
    try:
        groups = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        groups = []
    for line in groups:
        # `0::/path` is version 2, and `4:memory:/path` version 1.
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, name = cgroups, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = cgroups / "memory", "memory.limit_in_bytes"
        else:
            continue
        group = base / path.lstrip("/")
        for folder in (group, *group.parents):
            if not folder.is_relative_to(base):
                break
            try:
                limit = (folder / name).read_text().strip()
            except OSError:
                continue  # not every level has a limit, nor is each seen from inside a container
            if limit.isdigit():
                limits.append(int(limit))
    return min(limits) // 2**20
