"""Prepare problems, graded traces, or a student (model, tokenizer): the jobs before all others."""

from __future__ import annotations

import sys
from typing import Any

from valley.cluster.element import foreground
from valley.data.prepared import check_disjoint, vocabulary_texts, write_evaluation, write_pool
from valley.data.sources import read_evaluation, read_pool
from valley.errors import UserError, exit_on_user_error
from valley.evaluate.config import GradeConfig
from valley.job_file import JobFile
from valley.student import prepare_student


def run(job: JobFile) -> dict[str, Any]:
    """Fill the job's folder; returns counts."""
    match job.config:
        case {"evaluation": config}:
            return write_evaluation(job.folder, read_evaluation(config, job.execution))
        case {"pool": config, "grading": limits}:
            grading = GradeConfig(**limits, sandbox=job.execution["sandbox"])
            return write_pool(
                job.folder,
                *read_pool(config, job.execution),
                config=grading,
                workers=job.execution.get("workers", 1),
            )
        case {"check": "disjoint"}:
            return check_disjoint(job.inputs["evaluation"], job.inputs["pool"])
        case {"student": config}:
            texts = vocabulary_texts(job.inputs["pool"]) if "pool" in job.inputs else []
            prepare_student(config, job.execution, texts, job.folder / "model")
            return {"model": "model"}
    raise UserError(f"{job.folder}: nothing that a prepare job knows: {', '.join(job.config)}")


if __name__ == "__main__":
    exit_on_user_error(lambda: foreground(sys.argv[1:]))
