"""Prepare data (problems, graded traces) or a student (model, tokenizer): the jobs before all others."""

from __future__ import annotations

import sys
from typing import Any

from pydantic import TypeAdapter

from valley.cluster.element import foreground
from valley.data.prepared import vocabulary_texts, write_prepared
from valley.data.sources import read_source
from valley.errors import exit_on_user_error
from valley.evaluate.config import GradeConfig
from valley.store import JobFile
from valley.student import StudentConfig, prepare_student


def run(job: JobFile) -> dict[str, Any]:
    """Fill the job's folder; returns counts."""
    if "student" in job.config:
        texts = vocabulary_texts(job.inputs["data"]) if "data" in job.inputs else []
        target = job.folder / "model"
        student = TypeAdapter(StudentConfig).validate_python(job.config["student"])
        prepare_student(student, texts, target)
        return {"model": target.name}
    source = read_source(job.config["data"], job.execution)
    return write_prepared(
        job.folder,
        *source,
        config=GradeConfig.model_validate(job.config["grade"]),
        workers=job.execution.get("workers", 1),
    )


if __name__ == "__main__":
    exit_on_user_error(lambda: foreground(sys.argv[1:]))
