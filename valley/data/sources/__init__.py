"""Where problems and traces come from; one adapter a module."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from valley.data.candidates import ProblemReader, Reader
from valley.data.problems import Problem
from valley.data.sources.config import TinyConfig
from valley.data.traces import Trace
from valley.errors import UserError

Pool = tuple[Collection[Problem], list[Trace], list[tuple[str, str]]]
"""The problems that traces answer, the traces, and (prompt, answer) pairs for first lessons."""


def open_evaluation(config: dict[str, Any], execution: dict[str, Any]) -> ProblemReader:
    """The reader of the problems that a corpus asks students.

    Args:
        config: the `evaluation_semantic()` of `source: corpus`.
        execution: its `execution()`: where the files lie here.

    Raises:
        UserError: what lies there is not what the job was planned with.
    """
    corpus = _corpus(execution)
    _check_unchanged("data.evaluation", config, corpus.evaluation_semantic())
    return corpus.evaluation.open()


def open_pool(config: dict[str, Any], execution: dict[str, Any]) -> Reader:
    """The reader of what a corpus teaches.

    Args:
        config: the `pool_semantic()` of `source: corpus`.
        execution: its `execution()`: where the files lie here.

    Raises:
        UserError: what lies there is not what the job was planned with.
    """
    corpus = _corpus(execution)
    _check_unchanged("data.pool", config["pool"], corpus.pool.semantic())
    return corpus.pool.open()


def evaluation_read_from(execution: dict[str, Any]) -> dict[str, Any]:
    """Revisions and digests of what a corpus asks, for the result."""
    return _corpus(execution).evaluation.read_from()


def pool_read_from(execution: dict[str, Any]) -> dict[str, Any]:
    """Revisions and digests of what a corpus teaches, for the result."""
    return _corpus(execution).pool.read_from()


def _corpus(execution: dict[str, Any]) -> Any:
    from valley.data.sources.corpus_config import CorpusConfig

    return CorpusConfig.model_validate(execution["corpus"])


def _check_unchanged(setting: str, planned: dict[str, Any], found: dict[str, Any]) -> None:
    if planned != found:
        raise UserError(
            f"{setting}: its files have changed since the job was planned; launch the sweep again"
        )


def read_evaluation(config: dict[str, Any], paths: dict[str, Any]) -> Collection[Problem]:
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
        case "corpus":
            return list(open_evaluation(config, paths).problems())
        case _:
            from valley.data.sources import jsonl

            return jsonl.read_evaluation(config, paths)


def read_pool(config: dict[str, Any], paths: dict[str, Any]) -> Pool:
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
