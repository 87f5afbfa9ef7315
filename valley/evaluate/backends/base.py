"""A backend as a generation sees it: it is loaded with a checkpoint, and answers planned batches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from valley.data.render import Document
from valley.errors import UserError
from valley.evaluate.profiles import BackendName, Profile
from valley.evaluate.requests import Request


@dataclass(frozen=True)
class Decoding:
    """What is decoded with, and how: all that a backend is loaded for."""

    model_folder: Path
    profile: Profile
    precision: Literal["fp32", "bf16"]
    ends: list[int]
    """Tokens that end an answer."""
    batch_size: int
    longest: int
    """Most tokens that any of the requests comes to, prompt and answer together; of a document whose
    likelihood is asked for, one more than it has."""


@dataclass(frozen=True)
class Answer:
    """The tokens that a request was answered with, up to and with the first that ends it."""

    request: Request
    tokens: list[int]


class Backend(Protocol):
    """What decodes. Its construction, `answers` and `surprise` may take long."""

    name: BackendName
    version: str
    """Of the package that decodes."""
    repeats: bool
    """Whether an answer is the same to the last token whatever else was decoded before it."""

    batches_are_whole: bool
    """Whether what else is in a planned batch may change an answer, so that half of one is no use."""

    def answers(self, batches: list[list[Request]]) -> Iterator[list[Answer]]:
        """Answer all requests, and yield answers as soon as they are there, in any order."""
        ...

    def surprise(self, documents: list[Document]) -> list[float]:
        """The negative log-likelihood of each document's response, summed over its tokens, in nats."""
        ...


def load_backend(name: BackendName, decoding: Decoding) -> Backend:
    """A backend with its model in memory.

    Raises:
        UserError: it is not installed in this interpreter, or in a version that is not known to work.
    """
    if name == "transformers":
        from valley.evaluate.backends.transformers import TransformersBackend

        return TransformersBackend(decoding)
    if name == "vllm":
        from valley.evaluate.backends.vllm import VllmBackend

        return VllmBackend(decoding)
    raise UserError(f"generate.backend {name!r}: expected transformers or vllm")
