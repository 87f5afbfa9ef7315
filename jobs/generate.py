"""Generate: a student's answers to the evaluation problems, under one decoding profile."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from valley.cluster.element import foreground
from valley.data.chat import ChatConfig
from valley.data.prepared import evaluation_problems
from valley.errors import exit_on_user_error
from valley.evaluate.profiles import Profile
from valley.evaluate.samples import count_samples
from valley.job_file import JobFile
from valley.records import write_records


def run(job: JobFile) -> dict[str, Any]:
    """Leave the answers in `samples.jsonl`."""
    # The one place that would choose another backend.
    from valley.evaluate.generate import generate

    problems = evaluation_problems(job.inputs["evaluation"]).values()
    samples = generate(
        job.inputs["model"] / "model",
        # No student sees a test, and all tests of all problems may be gigabytes.
        [replace(problem, tests=problem.tests[:1]) for problem in problems],
        Profile.model_validate(job.config["profile"]),
        job.config["batch_size"],
        job.config["precision"],
        job.report,
        ChatConfig.model_validate(job.config.get("chat", {})),
    )
    counts = count_samples(samples)
    write_records(job.folder / "samples.jsonl", samples)
    return {"backend": "transformers", **counts}


if __name__ == "__main__":
    exit_on_user_error(lambda: foreground(sys.argv[1:]))
