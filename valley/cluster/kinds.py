"""Kinds of jobs: what `jobs/<kind>.py` beside this package does, loaded by its path."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import valley
from valley.errors import UserError
from valley.job_file import JobFile

Run = Callable[[JobFile], dict[str, Any]]


def load_kind(kind: str) -> Run:
    """The `run` function of `jobs/<kind>.py` beside this package."""
    path = Path(valley.__file__).resolve().parent.parent / "jobs" / f"{kind}.py"
    name = f"valley_jobs_{kind}"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None or not path.is_file():
            raise UserError(
                f"{path}: no such job script; valley must run from a checkout or snapshot"
            )
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    run: Run = sys.modules[name].run
    return run
