"""A real Slurm cluster on one machine, for tests, demos and debugging: no systemd, nothing global.

`PrivateCluster` starts a munged, a mariadbd, a slurmdbd, a slurmctld and one `slurmd -N nK` per
virtual node, each with its own socket or port, and ends exactly those. It writes nothing outside
one temporary folder, so several clusters live side by side on one machine.

    python tests/slurm/private_cluster.py -- bash -c 'sinfo; srun --nodes=2 printenv SLURMD_NODENAME'

starts a cluster, runs the command with SLURM_CONF set, stops the cluster and returns the command's
status. It needs root and Debian's packages, see debian_packages.py.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn, Self

from debian_packages import why_unavailable
from job_processes import kill_jobs
from slurm_conf import (
    ADDRESS,
    MAX_NODES,
    ClusterShape,
    claim_ports,
    node_port,
    write_configuration,
)


class ClusterError(RuntimeError):
    """The private cluster did not start or answer; the message ends with the daemon's log."""


class PrivateCluster:
    """One Slurm cluster with virtual nodes n1, n2, ... of `cpus_per_node` CPUs each.

    CPUs and memory may be declared beyond what the machine has. Partitions: `main` (the default)
    and `urgent`, which preempts `main` by requeueing. Ended jobs stay in squeue for an hour. Limits
    that sacctmgr sets count where they are enforced, which needs accounting.

    `env` is what a process needs to talk to the cluster: merge it into its environment.
    Every method may raise ClusterError, with the log of the daemon that failed.

    The daemons get SIGTERM when the thread that started them ends, so that a killed test run
    leaves none: call `start`, `start_node` and `restart_controller` from a thread that lives on.
    """

    def __init__(
        self,
        *,
        nodes: int = 4,
        cpus_per_node: int = 2,
        memory_per_node_mib: int = 6000,
        accounting: bool = True,
        max_array_size: int = 1001,
        enforce_limits: bool = False,
    ) -> None:
        if not 1 <= nodes <= MAX_NODES:
            raise ValueError(f"nodes is {nodes}; it must be from 1 to {MAX_NODES}")
        self.shape = ClusterShape(
            nodes,
            cpus_per_node,
            memory_per_node_mib,
            accounting,
            max_array_size,
            enforce_limits,
        )
        self.nodes = tuple(f"n{k}" for k in range(1, nodes + 1))
        self.env: dict[str, str] = {}
        self.folder = Path()
        self._first_port = 0
        self._port_claim: socket.socket | None = None
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start every daemon and wait until all nodes are idle; on failure leave nothing behind."""
        if reason := why_unavailable():
            raise ClusterError(reason)
        # A folder of its own right in /tmp: a unix socket's path ends at 107 bytes and a Slurm
        # setting at a space, and pytest's temporary folders are long and may hold one.
        self.folder = Path(tempfile.mkdtemp(prefix="valley-slurm-", dir="/tmp"))
        self.env = {"SLURM_CONF": str(self.folder / "slurm.conf")}
        try:
            self._port_claim, self._first_port = claim_ports(2 + len(self.nodes))
            for subfolder in ("log", "munge", "state", *(f"spool/{name}" for name in self.nodes)):
                (self.folder / subfolder).mkdir(parents=True)
            write_configuration(self.folder, self.shape, self._first_port)
            self._start_munge()
            if self.shape.accounting:
                self._start_database()
            self.start_controller()
            for name in self.nodes:
                self._start_daemon(name, "slurmd", "-D", "-N", name)
            self.wait_ready()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every job and daemon of this cluster and remove its folder; a second call is fine."""
        # The nodes first: nothing can then start a job while the jobs are being ended.
        for name in self.nodes:
            if name in self._daemons:
                self.kill_node(name)
        while self._daemons:
            _kill_group(self._daemons.popitem()[1])
        if self.env:
            shutil.rmtree(self.folder)
            self.env = {}
        if self._port_claim:
            self._port_claim.close()
            self._port_claim = None

    def wait_ready(self, timeout_s: float = 30) -> None:
        """Wait until every node is up and its slurmd answers, each at most `timeout_s`."""
        for name in self.nodes:
            self._wait_up(name, timeout_s)

    def squeue(self, *arguments: str) -> list[str]:
        """Lines of `squeue --noheader` with these arguments."""
        return self._output("squeue", "--noheader", *arguments).splitlines()

    def stop_controller(self) -> None:
        """End slurmctld, which saves its state; the jobs on the nodes run on."""
        slurmctld = self._daemons.pop("slurmctld")
        slurmctld.terminate()
        slurmctld.wait(timeout=30)

    def start_controller(self) -> None:
        """Start slurmctld and wait until it answers."""
        self._start_daemon("slurmctld", "slurmctld", "-D")
        self._wait("slurmctld", lambda: self._failure("scontrol", "ping"))

    def restart_controller(self) -> None:
        """Stop slurmctld and start it again: queued and running jobs survive."""
        self.stop_controller()
        self.start_controller()

    def stop_accounting(self) -> None:
        """End slurmdbd, as an outage of the accounting database would; the controller runs on."""
        _kill_group(self._daemons.pop("slurmdbd"))

    def start_accounting(self) -> None:
        """Start slurmdbd and wait until it answers."""
        # slurmdbd.conf has no setting for the socket, but libmariadb reads this variable.
        mysql_socket = str(self.folder / "database" / "socket")
        self._start_daemon("slurmdbd", "slurmdbd", "-D", MYSQL_UNIX_PORT=mysql_socket)
        self._wait("slurmdbd", lambda: self._failure("sacctmgr", "show", "cluster"))

    def kill_node(self, name: str, *, tell_controller: bool = False) -> None:
        """End a node's slurmd and its jobs' processes at once, as a power cut would.

        The controller finds out by itself in about 30 s; `tell_controller` sets the node down now.
        Its jobs are then requeued, and may start again 5 s later. If the node is back before the
        controller knows, it takes a minute to miss the jobs.
        """
        _kill_group(self._daemons.pop(name))
        kill_jobs(name, self.folder / "slurm.conf", self.folder / "spool" / name)
        if tell_controller:
            self._output("scontrol", "update", f"NodeName={name}", "State=DOWN", "Reason=killed")

    def start_node(self, name: str) -> None:
        """Start a node that `kill_node` ended and wait until the controller can use it again."""
        self._start_daemon(name, "slurmd", "-D", "-N", name)
        self._wait_up(name)

    def _start_munge(self) -> None:
        munge = self.folder / "munge"
        # munged insists that every user can reach its socket, whatever the umask was.
        self.folder.chmod(0o755)
        munge.chmod(0o755)
        (munge / "key").touch(mode=0o600)
        (munge / "key").write_bytes(os.urandom(128))
        munge_socket = str(munge / "socket")
        files = [f"--{name}-file={munge / name}" for name in ("key", "pid", "seed")]
        self._start_daemon("munged", "munged", "--foreground", f"--socket={munge_socket}", *files)
        self._wait("munged", lambda: _refusal(munge_socket))

    def _start_database(self) -> None:
        """Start mariadbd without a TCP port and slurmdbd on it."""
        database = self.folder / "database"
        database.mkdir(mode=0o700)
        options = [
            "--no-defaults",
            "--user=root",
            f"--datadir={database}",
            "--innodb-log-file-size=8M",
            "--innodb-buffer-pool-size=32M",
            "--innodb-flush-log-at-trx-commit=0",
        ]
        # Only root may enter the folder, so the database's root needs no password. --force: in a
        # container, neither its own name nor localhost may resolve.
        setup = ["--auth-root-authentication-method=normal", "--skip-test-db", "--force"]
        self._output("mariadb-install-db", *options, *setup)
        mysql_socket = str(database / "socket")
        access = ["--skip-networking", f"--socket={mysql_socket}", f"--pid-file={database / 'pid'}"]
        self._start_daemon("mariadbd", "mariadbd", *options, *access)
        self._wait("mariadbd", lambda: _refusal(mysql_socket))
        self.start_accounting()

    def _start_daemon(self, name: str, *command: str, **env: str) -> None:
        spool = self.folder / "spool" / name
        with (self.folder / "log" / f"{name}.log").open("ab") as log:
            self._daemons[name] = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=spool if name in self.nodes else self.folder,
                env=os.environ | self.env | env,
                start_new_session=True,
            )

    def _wait(self, name: str, problem: Callable[[], str], timeout_s: float = 30) -> None:
        """Wait until daemon `name` has no problem any more, while every daemon lives."""
        deadline_s = time.monotonic() + timeout_s
        while found := problem():
            for other, daemon in self._daemons.items():
                if daemon.poll() is not None:
                    ending = f"{other} ended with status {daemon.returncode}"
                    raise ClusterError(f"{ending}\n{self._log_tail(other)}")
            if time.monotonic() > deadline_s:
                late = f"{name} is not ready after {timeout_s} s: {found}"
                raise ClusterError(f"{late}\n{self._log_tail(name)}")
            time.sleep(0.05)

    def _wait_up(self, node: str, timeout_s: float = 30) -> None:
        self._wait(node, lambda: self._why_down(node), timeout_s)

    def _log_tail(self, name: str) -> str:
        log = self.folder / "log" / f"{name}.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-20:])

    def _why_down(self, name: str) -> str:
        try:
            states = set(self._output("sinfo", "-h", "-N", f"-n{name}", "-o%t").split())
        except ClusterError as error:
            return str(error)
        if not states <= {"idle", "mix", "alloc", "comp"}:
            return f"node {name} is {' '.join(states)}"
        # A node that was killed a moment ago is still idle to the controller: ask slurmd as well.
        return _refusal((ADDRESS, node_port(self._first_port, int(name[1:]))))

    def _output(self, *command: str) -> str:
        result = subprocess.run(
            command,
            env=os.environ | self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if result.returncode != 0:
            raise ClusterError(f"{' '.join(command)} failed: {result.stdout}{result.stderr}")
        return result.stdout

    def _failure(self, *command: str) -> str:
        try:
            self._output(*command)
        except ClusterError as error:
            return str(error)
        return ""


def _kill_group(daemon: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(daemon.pid, signal.SIGKILL)
    daemon.wait()


def _refusal(address: str | tuple[str, int]) -> str:
    """Why nothing accepts a connection at this unix socket or TCP address; empty if it does."""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as client:
        error = client.connect_ex(address)
    return f"{address}: {os.strerror(error)}" if error else ""


def _exit_on_sigterm(signum: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + signum)


def main() -> int:
    """Run one command on a cluster of its own; return the command's status."""
    parser = argparse.ArgumentParser(description="Run a command on a private Slurm cluster.")
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--cpus-per-node", type=int, default=2)
    parser.add_argument("--max-array-size", type=int, default=1001)
    parser.add_argument("--accounting", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("command", nargs="+", metavar="COMMAND", help="put -- before it")
    options = vars(parser.parse_args())
    command = options.pop("command")
    # Without this a SIGTERM would end Python at once and leave the folder and the jobs behind.
    signal.signal(signal.SIGTERM, _exit_on_sigterm)
    try:
        with PrivateCluster(**options) as cluster:
            status = subprocess.run(command, env=os.environ | cluster.env).returncode
    except (ClusterError, ValueError, OSError) as error:
        print(f"private_cluster: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
