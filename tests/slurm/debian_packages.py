"""What a private Slurm cluster needs of the machine, and which Debian packages bring it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

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
