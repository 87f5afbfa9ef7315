"""The configuration files, addresses and ports of a private Slurm cluster."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

ADDRESS = "127.0.0.1"
# Below the kernel's range for outgoing connections (32768-60999), which could take a port first.
PORTS = range(20_000, 32_000)
MAX_NODES = 98
PORTS_PER_CLUSTER = 2 + MAX_NODES

# cred_expire is also how long a requeued job waits before it may start again (default 120 s).
# config_overrides lets nodes declare more CPUs and memory than the machine has.
# %n.steps.log: what slurmstepd logs; slurmd's own lines go to its standard error as well.
SLURM_CONF = """\
ClusterName=valley
SlurmctldHost={host}({address})
SlurmctldPort={first_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
{communication}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/log/%n.steps.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
MailProg=/bin/true
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=1,sched_interval=1,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=10
KillWait=5
MessageTimeout=30
MinJobAge=3600
MaxArraySize={max_array_size}
MaxJobCount={max_job_count}
NodeName=n[1-{nodes}] NodeHostname={host} NodeAddr={address} Port=[{first_node}-{last_node}] \
CPUs={cpus_per_node} RealMemory={memory_per_node_mib}
PartitionName=main Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE
PartitionName=urgent Nodes=ALL PriorityTier=10 PreemptMode=OFF
"""
# Slurm's clients take munge's socket for slurmdbd from AccountingStoragePass, not from AuthInfo.
ACCOUNTING_CONF = """\
JobAcctGatherType=jobacct_gather/linux
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost={address}
AccountingStoragePort={database_port}
AccountingStoragePass={folder}/munge/socket
{enforcement}
"""
SLURMDBD_CONF = """\
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
DbdHost={host}
DbdAddr={address}
DbdPort={database_port}
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=localhost
StorageUser=root
StorageLoc=valley
PidFile={folder}/slurmdbd.pid
"""
# slurmd loads a cgroup plugin even if nothing uses it, and the one for version 2 of cgroups, which
# it would choose, wants systemd. The one for version 1 starts anywhere.
CGROUP_CONF = "CgroupPlugin=cgroup/v1\n"


@dataclass(frozen=True)
class ClusterShape:
    """What a private cluster offers: virtual nodes, their size, and the cluster's limits."""

    nodes: int
    cpus_per_node: int
    memory_per_node_mib: int
    accounting: bool
    max_array_size: int
    enforce_limits: bool


def write_configuration(folder: Path, shape: ClusterShape, first_port: int) -> None:
    """Write slurm.conf, cgroup.conf and slurmdbd.conf into `folder`, whose path must hold no space.

    The daemons share the ports from `first_port` on: slurmctld, slurmdbd, then the nodes.
    """
    settings = {
        **vars(shape),
        "folder": folder,
        "host": socket.gethostname().split(".")[0],
        "address": ADDRESS,
        "communication": _communication_parameters(),
        "enforcement": "AccountingStorageEnforce=limits" if shape.enforce_limits else "",
        "first_port": first_port,
        "database_port": first_port + 1,
        "first_node": node_port(first_port, 1),
        "last_node": node_port(first_port, shape.nodes),
        "max_job_count": max(10_000, 10 * shape.max_array_size),
    }
    slurm_conf = SLURM_CONF + (ACCOUNTING_CONF if shape.accounting else "")
    (folder / "slurm.conf").write_text(slurm_conf.format_map(settings))
    (folder / "cgroup.conf").write_text(CGROUP_CONF)
    slurmdbd_conf = folder / "slurmdbd.conf"
    slurmdbd_conf.touch(mode=0o600)  # slurmdbd refuses one that others can read
    slurmdbd_conf.write_text(SLURMDBD_CONF.format_map(settings))


def node_port(first_port: int, number: int) -> int:
    """The port of node n<number>, counted from 1."""
    return first_port + 1 + number


def _communication_parameters() -> str:
    """What makes Slurm listen on loopback only, where that works.

    With these parameters each program listens on the address of the host's name alone, but srun is
    called back at 127.0.0.1. Where the name means anything else the programs listen everywhere, and
    only a holder of the cluster's munge key gets an answer.
    """
    try:
        is_loopback = socket.gethostbyname(socket.gethostname()) == ADDRESS
    except OSError:
        is_loopback = False
    return "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny" if is_loopback else ""


def claim_ports(count: int) -> tuple[socket.socket, int]:
    """The first of `count` free ports in a row, and a socket that claims them until it is closed.

    The claim is an abstract unix socket: of two clusters that start at once one gets the name, and
    the kernel frees it even after a crash. Raises OSError if there are no such ports.
    """
    starts = PORTS[::PORTS_PER_CLUSTER]
    for k in range(len(starts)):
        first = starts[(os.getpid() + k) % len(starts)]
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0valley-private-cluster-{first}")
            for port in range(first, first + count):
                with socket.socket() as probe:
                    probe.bind(("", port))
        except OSError:
            claim.close()
            continue
        return claim, first
    raise OSError(f"no {count} free ports in a row from {PORTS.start} to {PORTS.stop}")
