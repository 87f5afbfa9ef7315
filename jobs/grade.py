"""Grade: run the answers' programs against the problems' tests, and count."""

from __future__ import annotations

import json
import sys
from typing import Any

from valley.cluster.element import foreground
from valley.errors import UserError, exit_on_user_error
from valley.evaluate.config import GradeConfig
from valley.evaluate.grading import grade_files
from valley.evaluate.per_problem import pack, total_samples
from valley.evaluate.probe import find_isolation
from valley.evaluate.samples import Sample, verdicts_digest
from valley.evaluate.score import score
from valley.job_file import JobFile, read_job
from valley.records import iterate_records

LOCK_WAIT_S = 120.0
"""For the lock of a start whose node went down: file servers hold such for a minute or two."""


def run(job: JobFile) -> dict[str, Any]:
    """Leave the verdicts in `verdicts.jsonl`; returns the scores. Begun again, it goes on."""
    samples = job.inputs["samples"] / "samples.jsonl"
    config = GradeConfig.model_validate(job.config)

    def progress(done: int, kept: int, total: int) -> None:
        if done % 50 == 0:
            job.report(step=done, steps=total)

    earlier = None
    if (before := job.inputs.get("earlier")) is not None:
        earlier = read_job(before).inputs["samples"] / "samples.jsonl", before / "verdicts.jsonl"
    graded = grade_files(
        job.inputs["evaluation"] / "evaluation.jsonl",
        samples,
        job.folder / "verdicts.jsonl",
        config,
        workers=job.execution.get("workers", 1),
        progress=progress,
        # The answers may have been generated anew since an earlier start.
        restart=True,
        wait_s=LOCK_WAIT_S,
        earlier=earlier,
    )
    # Tried again already; to count them as wrong would be to measure the machine.
    if broken := [v for v in graded.verdicts if v.status == "infrastructure_error"]:
        raise UserError(
            f"the grader could not run {len(broken)} of {len(graded.verdicts)} programs, such as "
            f"sample {broken[0].index} of {broken[0].problem_id} ({broken[0].note}); "
            "then --retry failed tries these again"
        )
    rows = iterate_records(samples, Sample)
    told = {}
    if before is not None:
        result = json.loads((before / "result.json").read_text(encoding="utf-8"))
        told = {"earlier": {"samples": total_samples(result["outcome"])}}
    return {
        **told,
        **pack(score(graded.problems.values(), rows, graded.verdicts, k=config.k)),
        "verdicts_digest": verdicts_digest(graded.verdicts),
        "isolation": find_isolation(config.sandbox).layers,
    }


if __name__ == "__main__":
    exit_on_user_error(lambda: foreground(sys.argv[1:]))
