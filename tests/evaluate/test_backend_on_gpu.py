"""transformers decodes on a GPU what it decodes on the CPU."""

from __future__ import annotations

import pytest
import torch

from valley.data.render import Document
from valley.evaluate.backends.base import Decoding
from valley.evaluate.backends.transformers import TransformersBackend
from valley.evaluate.profiles import Profile
from valley.evaluate.requests import Request
from valley.student import prepare_student
from valley.student_config import TinyStudent

WORDS = "a b c d e f g h 0 1 2 3 4 5 6 7 8 9"
DOCUMENTS = [Document([5, 6, 7, 8, 9, 10, 11], 2), Document([9, 4, 8], 1)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("profile", [Profile(), Profile(temperature=0.6, top_p=0.95)])
def test_a_gpu_answers_as_the_cpu(spaced, monkeypatch, profile):
    student = TinyStudent(layers=2, hidden=64, intermediate=96, heads=2, seed=1)
    prepare_student(student.semantic(), student.execution(), [WORDS], spaced / "student")
    prompts = [[5, 6, 7], [8, 9, 10, 11, 12], [4], [7, 5, 9, 9]]
    batch = [
        Request(f"p{i}", 0, 17 + i, prompt, "", max_tokens=24) for i, prompt in enumerate(prompts)
    ]
    told = []
    for on_gpu in (True, False):
        if not on_gpu:
            monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        decoding = Decoding(spaced / "student", profile, "fp32", [2], batch_size=4, longest=32)
        backend = TransformersBackend(decoding)
        assert backend.model.device.type == ("cuda" if on_gpu else "cpu")
        assert backend.repeats is not on_gpu
        answers = [each.tokens for part in backend.answers([batch]) for each in part]
        told.append((answers, backend.surprise(DOCUMENTS)))
    assert told[0][0] == told[1][0] and all(told[0][0])
    assert told[0][1] == pytest.approx(told[1][1], rel=1e-4)
