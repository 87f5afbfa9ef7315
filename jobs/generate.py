"""Generate: a student's answers to the evaluation problems, under one decoding profile.

It runs in the interpreter that `resources.generate.python` names, which may have vLLM and neither the
trainer nor what only the launcher needs.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import replace
from typing import Any

from valley.cluster.element import foreground
from valley.cluster.signals import Interrupted
from valley.data.problem_file import ProblemFile
from valley.errors import Stopped, exit_on_user_error
from valley.evaluate.generate import Setting, generate
from valley.evaluate.samples import count_samples
from valley.job_file import JobFile
from valley.records import write_records


def run(job: JobFile) -> dict[str, Any]:
    """Leave the answers in `samples.jsonl`. Begun again, it goes on from those that were finished."""
    problems = ProblemFile(job.inputs["evaluation"] / "evaluation.jsonl").values()
    model = job.inputs["model"]
    said: dict[str, int] = {}

    def report(step: int, steps: int) -> None:
        said.update(step=step, steps=steps)
        job.report(step=step, steps=steps)

    try:
        generated = generate(
            model / "model",
            # No student sees a test, and all tests of all problems may be gigabytes.
            [replace(problem, tests=problem.tests[:1]) for problem in problems],
            Setting.of(job.config),
            report=report,
            keep=job.folder / "resume" / "samples.jsonl",
            # A rebuilt student has a result of its own, and may differ in its last digits.
            made_from=hashlib.sha256((model / "result.json").read_bytes()).hexdigest(),
        )
    except Interrupted as stop:
        if not said:
            raise
        raise Stopped(**said, kept=True) from stop
    counts = count_samples(generated.samples)
    write_records(job.folder / "samples.jsonl", generated.samples)
    return {**generated.outcome, **counts}


if __name__ == "__main__":
    exit_on_user_error(lambda: foreground(sys.argv[1:]))
