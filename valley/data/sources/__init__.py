"""Where problems and traces come from; one adapter a module."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from valley.data.config import PackagesConfig, TinyConfig
from valley.data.problems import Problem
from valley.data.traces import Trace
from valley.records import read_records

Source = tuple[list[Problem], list[Problem], list[Trace], list[tuple[str, str]]]


def read_source(config: dict[str, Any], paths: dict[str, str]) -> Source:
    """Read a source: evaluation problems, the pool's problems and traces, and first lessons.

    Args:
        config: the `semantic()` form of a source's settings.
        paths: where files lie, for sources that are files.
    """
    match config["source"]:
        case "tiny":
            from valley.data.sources.tiny import TinyWorld

            world = TinyWorld(TinyConfig.model_validate(config))
            return world.evaluation_problems(), *world.traces(), list(world.direct_answers())
        case "packages":
            from valley.data.sources import packages

            settings = {k: v for k, v in config.items() if k != "versions"}
            return *packages.read(PackagesConfig.model_validate(settings)), []
        case _:
            return (
                read_records(Path(paths["evaluation"]), Problem),
                read_records(Path(paths["problems"]), Problem),
                read_records(Path(paths["traces"]), Trace),
                [],
            )
