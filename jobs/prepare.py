"""Prepare problems, graded traces, or a student (model, tokenizer): the jobs before all others."""

from __future__ import annotations

import sys
from typing import Any

from valley.cluster.element import foreground
from valley.data.card import card_of, write_card
from valley.data.held_out import write_held_out
from valley.data.index import read_index
from valley.data.pool import PoolSettings, PoolWriter
from valley.data.prepared import (
    check_disjoint,
    evaluation_problems,
    vocabulary_texts,
    write_evaluation,
    write_pool,
    write_streamed_pool,
)
from valley.data.sources import (
    evaluation_read_from,
    open_evaluation,
    open_pool,
    pool_read_from,
    read_evaluation,
    read_pool,
)
from valley.errors import UserError, exit_on_user_error
from valley.evaluate.config import GradeConfig
from valley.job_file import JobFile
from valley.student import prepare_student


def run(job: JobFile) -> dict[str, Any]:
    """Fill the job's folder; returns counts."""
    match job.config:
        case {"evaluation": {"source": "corpus"} as config}:
            reader = open_evaluation(config, job.execution)
            problems = list(reader.problems())
            written = write_evaluation(job.folder, problems, reader.counts())
            read_from = evaluation_read_from(job.execution)
            return {**written, "read": reader.counts(), "read_from": read_from}
        case {"evaluation": config}:
            return write_evaluation(job.folder, read_evaluation(config, job.execution))
        case {"pool": config, "grading": limits}:
            return _pool(job, config, GradeConfig(**limits, sandbox=job.execution["sandbox"]))
        case {"check": "disjoint"}:
            return check_disjoint(job.inputs["evaluation"], job.inputs["pool"])
        case {"held_out": config}:
            return write_held_out(job.folder, job.inputs["pool"], config)
        case {"student": config}:
            texts = vocabulary_texts(job.inputs["pool"]) if "pool" in job.inputs else []
            prepare_student(config, job.execution, texts, job.folder / "model")
            return {"model": "model"}
    raise UserError(f"{job.folder}: nothing that a prepare job knows: {', '.join(job.config)}")


def _pool(job: JobFile, config: dict[str, Any], grading: GradeConfig) -> dict[str, Any]:
    """Write the pool; of a corpus, row by row."""
    settings = PoolSettings.model_validate(config)
    # An input where it is needed: another evaluation set prepares no pool anew that does not ask for it.
    asked = job.inputs.get("evaluation")
    evaluation = evaluation_problems(asked).values() if asked else ()
    workers = job.execution.get("workers", 1)
    if config["source"] != "corpus":
        pool = read_pool({k: v for k, v in config.items() if k != "clean"}, job.execution)
        written = write_pool(job.folder, *pool, grading, workers, settings, evaluation)
        # Its figure is drawn when somebody asks for the card: it would take longer than the pool.
        write_card(job.folder, card_of(read_index(job.folder), written), figure=False)
        return written
    writer = PoolWriter(
        job.folder,
        settings,
        grading,
        workers,
        report=lambda done, count: job.report(step=done, steps=count),
    )
    written = write_streamed_pool(writer, open_pool(config, job.execution), evaluation)
    write_card(job.folder, card_of(read_index(job.folder), written))
    return {**written, "read_from": pool_read_from(job.execution)}


if __name__ == "__main__":
    exit_on_user_error(lambda: foreground(sys.argv[1:]))
