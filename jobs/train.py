"""Distil: train a checkpoint on a subset of the traces."""

from __future__ import annotations

import dataclasses
import functools
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from valley.cluster.element import end_stuck, foreground
from valley.cluster.rendezvous import join_process_group, place
from valley.cluster.signals import stop_signals
from valley.data.chat import ChatConfig
from valley.data.pack import row_count
from valley.data.prepared import training_set
from valley.data.render import Chat
from valley.data.tokens import Tokens, tokenized, tokenizer_digest
from valley.errors import UserError, exit_on_user_error
from valley.job_file import JobFile
from valley.student import load_tokenizer, positions
from valley.train.config import TrainConfig
from valley.train.operators import load_cpu_adam
from valley.train.watchdog import Watchdog


def run(job: JobFile) -> dict[str, Any]:
    """Train, and leave the student in `model/` and the steps' log in `log.jsonl`."""
    from valley.train.loop import train

    config = TrainConfig.model_validate({**job.config["train"], **_fields_of(job)})
    start = job.inputs["init"] / "model"
    rendered = _rendered(job, start)
    too_long = rendered.lengths > config.max_tokens
    kept = _kept(rendered, too_long, config)
    _check_positions(kept, positions(start))
    join_process_group(place(), job.folder)
    if config.offload == "cpu":
        load_cpu_adam(_cache(job) / "operators")
    watchdog = Watchdog(config.stuck_after_s, functools.partial(end_stuck, job))
    with stop_signals.heeded() as stop, watchdog:
        trained = train(
            kept,
            start,
            job.folder / "model",
            config,
            steps=_steps(rendered, kept, config),
            seed=job.config["seed"],
            log=job.folder / "log.jsonl",
            report=job.report,
            stop=stop,
            alive=watchdog.alive,
            resume=job.folder / "resume",
        )
    return {
        **dataclasses.asdict(trained),
        "model": "model",
        "examples": len(kept),
        "examples_too_long": int(too_long.sum()),
        "subset_digest": rendered.texts_digest,
    }


def _rendered(job: JobFile, start: Path) -> Tokens:
    """The training set as tokens, from the cache that all ranks, restarts and cells share."""
    config = ChatConfig.model_validate(job.config.get("chat", {}))

    @functools.cache
    def chat() -> tuple[Chat, str]:
        """What renders, and the digest of its tokenizer's files from before they were loaded."""
        loaded = tokenizer_digest(str(start))
        return Chat(load_tokenizer(start), config), loaded

    chosen = training_set(
        job.inputs["pool"],
        job.config["select"],
        job.config["data_seed"],
        count_tokens=lambda *text: len(chat()[0].documents([text])[0].tokens),
        prompt=config.prompt,
    )
    if not chosen.examples:
        raise UserError(f"the training set is empty: the pool has none of {job.config['select']!r}")
    renderer, loaded = chat()
    tokens = tokenized(
        _cache(job) / "tokens",
        chosen.decided_by,
        chosen.texts,
        renderer,
        job.report,
        examples=chosen.examples,
        loaded=loaded,
    )
    if chosen.subset is not None:
        chosen.subset.write(job.folder / "subset.json", tokens.texts_digest)
    return tokens


def _cache(job: JobFile) -> Path:
    """What all jobs of the root share, and can make again."""
    return job.folder.parents[3] / "cache"


def _kept(rendered: Tokens, too_long: npt.NDArray[np.bool_], config: TrainConfig) -> Tokens:
    """The examples to train on; one that is too long is never cut."""
    if config.too_long == "keep":
        return rendered
    longest = (
        f"{config.max_tokens} tokens (train.max_tokens); the longest has {rendered.lengths.max()}"
    )
    if config.too_long == "error" and too_long.any():
        raise UserError(
            f"{too_long.sum()} of {len(rendered)} examples have more than {longest}; raise it, or set "
            "train.too_long to drop or keep"
        )
    if too_long.all():
        raise UserError(f"none of {len(rendered)} examples has at most {longest}; raise it")
    return rendered.where(~too_long)


def _check_positions(kept: Tokens, most: int | None) -> None:
    """Refuse examples that reach beyond what the student was made for."""
    beyond = 0 if most is None else int((kept.lengths > most).sum())
    if beyond:
        raise UserError(
            f"{beyond} of {len(kept)} examples have more than the {most} tokens that the student was "
            f"made for (max_position_embeddings in its config.json); the longest has "
            f"{kept.lengths.max()}; set train.max_tokens to {most} at most, with train.too_long: drop "
            "to leave them out, or raise max_position_embeddings where the student bears more"
        )


def _steps(rendered: Tokens, kept: Tokens, config: TrainConfig) -> int:
    """Optimizer steps. Of examples the plan has stated them, and those that are dropped do not shorten the
    training; of rows nothing could be stated, and it is the kept ones that fill them."""
    if config.row_capacity is None:
        return config.total_steps(len(rendered))
    return config.total_steps(row_count(kept, config.row_capacity))


def _fields_of(job: JobFile) -> dict[str, Any]:
    return {k: v for k, v in job.execution.items() if k in TrainConfig.EXECUTION_FIELDS}


if __name__ == "__main__":
    exit_on_user_error(lambda: foreground(sys.argv[1:]))
