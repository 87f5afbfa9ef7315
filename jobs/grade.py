"""Grade: run the answers' programs against the problems' tests, and count."""

from __future__ import annotations

import sys
from typing import Any

from valley.cluster.element import foreground
from valley.data.prepared import evaluation_problems
from valley.errors import UserError, exit_on_user_error
from valley.evaluate.config import GradeConfig
from valley.evaluate.grade import grade
from valley.evaluate.samples import Sample
from valley.evaluate.sandbox import find_isolation
from valley.evaluate.score import score
from valley.records import read_records, write_records
from valley.store import JobFile


def run(job: JobFile) -> dict[str, Any]:
    """Leave the verdicts in `verdicts.jsonl`; returns the scores."""
    problems = evaluation_problems(job.inputs["evaluation"])
    samples = read_records(job.inputs["samples"] / "samples.jsonl", Sample)
    config = GradeConfig.model_validate(job.config)
    verdicts = grade(
        problems,
        samples,
        config,
        report=lambda done, count: job.report(step=done, steps=count) if done % 50 == 0 else None,
        workers=job.execution.get("workers", 1),
    )
    # Tried again already; to count them as wrong would be to measure the machine.
    if broken := [v for v in verdicts if v.status == "infrastructure_error"]:
        raise UserError(
            f"the grader could not run {len(broken)} of {len(verdicts)} programs, such as sample "
            f"{broken[0].index} of {broken[0].problem_id}; see the log above, then --retry failed"
        )
    write_records(job.folder / "verdicts.jsonl", verdicts)
    return {
        **score(problems, samples, verdicts, k=config.k),
        "isolation": find_isolation(config.sandbox).layers,
    }


if __name__ == "__main__":
    exit_on_user_error(lambda: foreground(sys.argv[1:]))
