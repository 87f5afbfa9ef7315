"""Distil: train a checkpoint on a subset of the traces."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from valley.cluster.element import foreground
from valley.cluster.rendezvous import join_process_group, place
from valley.cluster.signals import stop_signals
from valley.data.prepared import training_texts
from valley.data.render import document
from valley.errors import UserError, exit_on_user_error
from valley.job_file import JobFile
from valley.records import digest
from valley.student import load_tokenizer
from valley.train.config import TrainConfig


def run(job: JobFile) -> dict[str, Any]:
    """Train, and leave the student in `model/` and the steps' log in `log.jsonl`."""
    from valley.train.loop import train

    config = TrainConfig.model_validate({**job.config["train"], **_fields_of(job)})
    texts = training_texts(job.inputs["pool"], job.config["select"], job.config["data_seed"])
    if not texts:
        raise UserError(f"the training set is empty: the pool has none of {job.config['select']!r}")
    start = job.inputs["init"] / "model"
    tokenizer = load_tokenizer(start)
    rendered = [document(tokenizer, prompt, answer) for prompt, answer in texts]
    kept = [d for d in rendered if len(d.tokens) <= config.max_tokens]
    if not kept:
        raise UserError(
            f"none of {len(rendered)} examples has at most {config.max_tokens} tokens; "
            "raise train.max_tokens"
        )
    join_process_group(place())
    with stop_signals.heeded() as stop:
        trained = train(
            kept,
            start,
            job.folder / "model",
            config,
            # Dropped examples do not shorten a training whose steps the plan has stated.
            steps=config.total_steps(len(rendered)),
            seed=job.config["seed"],
            log=job.folder / "log.jsonl",
            report=job.report,
            stop=stop,
            resume=job.folder / "resume",
        )
    return {
        **dataclasses.asdict(trained),
        "model": "model",
        "examples": len(kept),
        "examples_too_long": len(rendered) - len(kept),
        "subset_digest": digest(texts),
    }


def _fields_of(job: JobFile) -> dict[str, Any]:
    return {k: v for k, v in job.execution.items() if k in TrainConfig.EXECUTION_FIELDS}


if __name__ == "__main__":
    exit_on_user_error(lambda: foreground(sys.argv[1:]))
