"""What an engine does that none does in a test: tests with vLLM itself are in tests/jobs."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from valley.data.render import Document
from valley.evaluate.backends.vllm import VllmBackend


class Forgetful:
    """An engine that forgets what it is asked."""

    def add_request(self, *_):
        pass

    def has_unfinished_requests(self):
        return False

    def step(self):
        return []


def test_a_request_that_an_engine_forgets_is_an_error_and_no_loop_for_ever():
    backend = VllmBackend.__new__(VllmBackend)
    backend.llm = SimpleNamespace(llm_engine=Forgetful())
    backend._params = lambda **_: None
    with pytest.raises(RuntimeError, match="nothing left to do, and 2 of 2 requests"):
        backend.surprise([Document([1, 2, 3], 1)] * 2)
