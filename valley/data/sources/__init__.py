"""Where problems and traces come from; one adapter a module."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from valley.data.config import TinyConfig
from valley.data.problems import Problem
from valley.data.traces import Trace

Pool = tuple[Collection[Problem], list[Trace], list[tuple[str, str]]]
"""The problems that traces answer, the traces, and (prompt, answer) pairs for first lessons."""


def read_evaluation(config: dict[str, Any], paths: dict[str, str]) -> Collection[Problem]:
    """Read the problems that students are evaluated on.

    Args:
        config: the `evaluation_semantic()` of a source's settings.
        paths: their `execution()`: where files lie, for sources that are files.

    Raises:
        UserError: the source cannot be read, or is not what the settings say.
    """
    match config["source"]:
        case "tiny":
            from valley.data.sources.tiny import TinyWorld

            return TinyWorld(TinyConfig.model_validate(config)).evaluation_problems()
        case "packages":
            from valley.data.sources import packages

            packages.check_version(packages.EVALUATION_PACKAGE, config["version"])
            return packages.evaluation_problems(config["evaluation_limit"])
        case _:
            from valley.data.sources import jsonl

            return jsonl.read_evaluation(config, paths)


def read_pool(config: dict[str, Any], paths: dict[str, str]) -> Pool:
    """Read what students learn from.

    Args:
        config: the `pool_semantic()` of a source's settings.
        paths: their `execution()`: where files lie, for sources that are files.

    Raises:
        UserError: the source cannot be read, or is not what the settings say.
    """
    match config["source"]:
        case "tiny":
            from valley.data.sources.tiny import TinyWorld

            world = TinyWorld(TinyConfig.model_validate(config))
            return *world.traces(), list(world.direct_answers())
        case "packages":
            from valley.data.sources import packages

            packages.check_version(packages.POOL_PACKAGE, config["version"])
            return *packages.pool(), []
        case _:
            from valley.data.sources import jsonl

            return jsonl.read_pool(config, paths)
