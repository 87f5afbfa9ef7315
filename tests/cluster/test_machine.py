from __future__ import annotations

import os

import pytest

from valley.cluster.config import ClusterConfig, Resources, ResourcesByKind
from valley.cluster.machine import Room, check_room, memory_mib, share, visible_gpus
from valley.errors import UserError


@pytest.mark.parametrize(
    ("variable", "devices"),
    [
        ("0,1", ["0", "1"]),
        ("2", ["2"]),
        ("GPU-1234, MIG-5678", ["GPU-1234", "MIG-5678"]),
        ("1,-1,2", ["1"]),
        ("", []),
        ("NoDevFiles", []),
    ],
)
def test_gpus_are_those_that_the_environment_names(variable, devices):
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": variable}) == devices


def test_gpus_that_no_variable_names_are_listed(spaced, monkeypatch):
    program = spaced / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\necho 'GPU 0: Some (UUID: GPU-1)'\necho 'GPU 1: Some (UUID: GPU-2)'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(spaced), prepend=os.pathsep)
    assert visible_gpus({}) == ["0", "1"]
    monkeypatch.setenv("PATH", str(spaced / "nothing"))
    assert visible_gpus({}) == []


@pytest.mark.parametrize(
    ("group", "file", "limit", "mib"),
    [
        ("0::/a/b", "a/memory.max", 2**30, 1024),
        ("0::/a/b", "a/b/memory.max", "max", 4096),
        ("9:cpu:/\n4:memory:/a", "memory/memory.limit_in_bytes", 2**29, 512),
        ("4:memory:/a", "memory/a/memory.limit_in_bytes", 2**62, 4096),
        ("0::/a/b", "elsewhere/memory.max", 2**20, 4096),
    ],
)
def test_memory_is_the_machines_or_its_control_groups(spaced, group, file, limit, mib):
    proc, cgroups = spaced / "proc", spaced / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text("MemTotal:        4194304 kB\nMemFree:  1 kB\n")
    (proc / "self" / "cgroup").write_text(group + "\n")
    (cgroups / file).parent.mkdir(parents=True)
    (cgroups / file).write_text(f"{limit}\n")
    assert memory_mib(proc, cgroups) == mib


def test_this_machine_has_memory():
    assert memory_mib() > 256


def test_what_is_given_back_can_be_taken_again():
    room = Room(cpus=4, gpus=["0", "1"], memory_mib=1000)
    asked = Resources(cpus_per_task=2, gpus_per_node=1, memory_gib=0.3)
    first, second = room.take(asked), room.take(asked)
    assert {*first, *second} == {"0", "1"} and not room.fits(asked)
    room.give_back(asked, first)
    assert room.fits(asked)
    room.give_back(asked, second)
    assert (room.cpus, sorted(room.gpus), room.memory_mib) == (4, ["0", "1"], 1000)


def test_an_elements_share_is_of_what_it_takes_most():
    whole = Room(cpus=4, gpus=["0", "1"], memory_mib=10 * 1024)
    assert share(Resources(tasks_per_node=2, cpus_per_task=2), whole) == 1
    assert share(Resources(gpus_per_node=1), whole) == 0.5
    assert share(Resources(gpus_per_node=1, memory_gib=6), whole) == 0.6
    assert share(Resources(), Room(cpus=4, gpus=[], memory_mib=1024)) == 0.25


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"nodes": 2}, "resources.train.nodes is 2, and this is one machine"),
        ({"tasks_per_node": 2, "cpus_per_task": 2}, "asks for 4 CPUs"),
        ({"gpus_per_node": 3}, "gpus_per_node is 3, and jobs may use 2 GPUs here"),
        ({"memory_gib": 1e6}, "memory_gib is 1e\\+06, and jobs may use .* GiB here"),
    ],
)
def test_more_than_the_machine_has_is_refused(monkeypatch, asked, message):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    resources = ResourcesByKind(train=Resources(**asked))
    with pytest.raises(UserError, match=message):
        check_room(resources, ["prepare", "train"], ClusterConfig(local_cpus=3))
    # What no job of this launch needs is no obstacle.
    check_room(resources, ["prepare", "grade"], ClusterConfig(local_cpus=3))


def test_as_much_as_the_machine_has_is_not_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    all_of_it = Resources(cpus_per_task=3, gpus_per_node=2, memory_gib=memory_mib() / 1024)
    check_room(ResourcesByKind(train=all_of_it), ["train"], ClusterConfig(local_cpus=3))
