"""A real Slurm cluster on one machine, for tests, demos and debugging: no systemd, nothing global.

`PrivateCluster` starts a munged, a mariadbd, a slurmdbd, a slurmctld and one `slurmd -N nK` per
virtual node, each with its own socket or port, and ends exactly those. It writes nothing outside
one temporary folder, so several clusters live side by side on one machine.

    python tests/slurm/private_cluster.py -- bash -c 'sinfo; srun --nodes=2 printenv SLURMD_NODENAME'

starts a cluster, runs the command with SLURM_CONF set, stops the cluster and returns the command's
status. It needs root (slurmd does) and Debian's packages; `missing_programs` names them.
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
from types import FrameType, TracebackType
from typing import NoReturn, Self

from job_processes import kill_jobs
from slurm_conf import (
    MAX_NODES,
    ClusterShape,
    claim_ports,
    loopback_address,
    node_port,
    write_configuration,
)

PACKAGE_OF_PROGRAM = {
    "slurmctld": "slurm-wlm",
    "slurmd": "slurm-wlm",
    "sbatch": "slurm-wlm",
    "slurmdbd": "slurmdbd",
    "munged": "munge",
    "mariadbd": "mariadb-server",
    "mariadb-install-db": "mariadb-server",
    "setpriv": "util-linux",
}
PACKAGE_OF_PLUGIN = {
    "auth_munge.so": "slurm-wlm-basic-plugins",
    "accounting_storage_mysql.so": "slurm-wlm-mysql-plugin",
}
PLUGIN_FOLDERS = ("lib/*/slurm-wlm", "lib/*/slurm", "lib/slurm", "lib64/slurm")


class ClusterError(RuntimeError):
    """The private cluster did not start or answer; the message ends with the daemon's log."""


def missing_programs() -> dict[str, str]:
    """Programs and plugins that this machine lacks, each with the Debian package that brings it."""
    programs = {p: PACKAGE_OF_PROGRAM[p] for p in PACKAGE_OF_PROGRAM if shutil.which(p) is None}
    plugins = {
        plugin: package
        for plugin, package in PACKAGE_OF_PLUGIN.items()
        if not any(any(Path("/usr").glob(f"{folder}/{plugin}")) for folder in PLUGIN_FOLDERS)
    }
    return programs | plugins


def why_unavailable() -> str:
    """Why no private cluster can run here and what to do about it; empty where one can."""
    if os.geteuid() != 0:
        return "a private Slurm cluster needs root: its daemons start jobs as their users"
    if missing := missing_programs():
        packages = " ".join(sorted(set(missing.values())))
        return f"a private Slurm cluster needs {', '.join(missing)}: apt-get install {packages}"
    return ""


class PrivateCluster:
    """One Slurm cluster with virtual nodes n1, n2, ... of `cpus_per_node` CPUs each.

    CPUs and memory may be declared beyond what the machine has. Partitions: `main` (the default)
    and `urgent`, which preempts `main` by requeueing. Ended jobs stay in squeue for an hour.

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
    ) -> None:
        if not 1 <= nodes <= MAX_NODES:
            raise ValueError(f"nodes is {nodes}; it must be from 1 to {MAX_NODES}")
        self.shape = ClusterShape(
            nodes, cpus_per_node, memory_per_node_mib, accounting, max_array_size
        )
        self.nodes = tuple(f"n{k}" for k in range(1, nodes + 1))
        self.env: dict[str, str] = {}
        self.folder = Path()
        self._address = loopback_address()
        self._first_port = 0
        self._port_claim: socket.socket | None = None
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
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
            write_configuration(self.folder, self.shape, self._address, self._first_port)
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
        """Wait until every node is up and its slurmd answers."""
        self._wait(self.nodes[-1], lambda: all(map(self._is_up, self.nodes)), timeout_s)

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
        self._wait("slurmctld", lambda: self._answers("scontrol", "ping"))

    def restart_controller(self) -> None:
        """Stop slurmctld and start it again: queued and running jobs survive."""
        self.stop_controller()
        self.start_controller()

    def kill_node(self, name: str) -> None:
        """End a node's slurmd and its jobs' processes at once, as a power cut would.

        The controller notices after SlurmdTimeout (10 s) and requeues the node's jobs.
        """
        _kill_group(self._daemons.pop(name))
        kill_jobs(name, self.folder / "slurm.conf", self.folder / "spool" / name)

    def start_node(self, name: str) -> None:
        """Start a node that `kill_node` ended and wait until the controller can use it again."""
        self._start_daemon(name, "slurmd", "-D", "-N", name)
        self._wait(name, lambda: self._is_up(name))

    def _start_munge(self) -> None:
        munge = self.folder / "munge"
        # munged insists that every user can reach its socket, whatever the umask was.
        self.folder.chmod(0o755)
        munge.chmod(0o755)
        (munge / "key").touch(mode=0o600)
        (munge / "key").write_bytes(os.urandom(128))
        files = [f"--{name}-file={munge / name}" for name in ("key", "pid", "seed")]
        self._start_daemon(
            "munged", "munged", "--foreground", f"--socket={munge / 'socket'}", *files
        )
        self._wait("munged", lambda: _accepts(munge / "socket"))

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
        self._output(
            "mariadb-install-db",
            *options,
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        )
        mysql_socket = database / "socket"
        pid_file = f"--pid-file={database / 'pid'}"
        self._start_daemon(
            "mariadbd",
            "mariadbd",
            *options,
            f"--socket={mysql_socket}",
            pid_file,
            "--skip-networking",
        )
        self._wait("mariadbd", lambda: _accepts(mysql_socket))
        # slurmdbd.conf has no setting for the socket, but libmariadb reads this variable.
        self._start_daemon("slurmdbd", "slurmdbd", "-D", MYSQL_UNIX_PORT=str(mysql_socket))
        self._wait("slurmdbd", lambda: self._answers("sacctmgr", "--noheader", "show", "cluster"))

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

    def _wait(self, name: str, is_done: Callable[[], bool], timeout_s: float = 30) -> None:
        """Wait for a condition that daemon `name` brings about, while every daemon lives."""
        deadline_s = time.monotonic() + timeout_s
        while not is_done():
            for other, daemon in self._daemons.items():
                if daemon.poll() is not None:
                    raise ClusterError(
                        f"{other} ended with status {daemon.returncode}\n{self._log_tail(other)}"
                    )
            if time.monotonic() > deadline_s:
                raise ClusterError(f"{name} is not ready in {timeout_s} s\n{self._log_tail(name)}")
            time.sleep(0.05)

    def _log_tail(self, name: str) -> str:
        log = self.folder / "log" / f"{name}.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-20:])

    def _is_up(self, name: str) -> bool:
        sinfo = self._run("sinfo", "--noheader", "--Node", f"--nodes={name}", "--format=%t")
        states = set(sinfo.stdout.split())
        if not states or not states <= {"idle", "mix", "alloc", "comp"}:
            return False
        # A node that was killed a moment ago is still idle to the controller: ask slurmd as well.
        return _accepts((self._address, node_port(self._first_port, int(name[1:]))))

    def _output(self, *command: str) -> str:
        result = self._run(*command)
        if result.returncode != 0:
            raise ClusterError(f"{' '.join(command)} failed: {result.stdout}{result.stderr}")
        return result.stdout

    def _answers(self, *command: str) -> bool:
        return self._run(*command).returncode == 0

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=os.environ | self.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )


def _kill_group(daemon: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(daemon.pid, signal.SIGKILL)
    daemon.wait()


def _accepts(address: Path | tuple[str, int]) -> bool:
    family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as client:
        return client.connect_ex(str(address) if isinstance(address, Path) else address) == 0


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
