"""Requests: the answers that a generation is to make, planned before any of them is begun.

Each has its prompt's tokens, a seed of its own and a limit of its own, so that no answer depends on what
it is decoded beside. Batches are planned of all requests, by the prompts' lengths, and are the same in
every run: a shard takes whole batches, and a run that was broken off goes on with those it lacks.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from valley.data.problems import Problem
from valley.data.render import Chat, instruction
from valley.errors import UserError
from valley.evaluate.profiles import Profile
from valley.records import digest


@dataclass(frozen=True)
class Request:
    """One answer that is to be made."""

    problem_id: str
    index: int
    seed: int
    prompt: list[int]
    """Tokens, what is prefilled included."""
    beginning: str
    """What the answer's text begins with: a thought that the template opened, and what is prefilled."""
    max_tokens: int
    """Most tokens that may follow. 0 where the prompt leaves no room, so that nothing is asked."""

    @property
    def key(self) -> tuple[str, int]:
        """What tells it from the others."""
        return self.problem_id, self.index


@dataclass(frozen=True)
class Requests:
    """All requests of a generation, by problem and then by index, and the batches they are made in."""

    all: list[Request]
    batches: list[list[Request]]

    @property
    def digest(self) -> str:
        """What tells these requests from any others."""
        return digest([[*r.key, r.seed, r.prompt, r.max_tokens] for r in self.all])

    @property
    def too_long(self) -> list[Request]:
        """Those whose prompts leave no room for an answer."""
        return [request for request in self.all if not request.max_tokens]

    def shard(self, index: int, of: int) -> Requests:
        """Every `of`-th batch from the `index`-th on: all shards together have all requests."""
        batches = self.batches[index::of]
        mine = {request.key for batch in batches for request in batch}
        if index == 0:
            mine |= {request.key for request in self.too_long}
        return Requests([request for request in self.all if request.key in mine], batches)


def sample_seed(sampling_seed: int, problem_id: str, index: int) -> int:
    """The seed of one sample: a 63-bit hash of its place."""
    text = f"valley.sample/1:{sampling_seed}:{problem_id}:{index}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def plan_requests(
    problems: list[Problem],
    profile: Profile,
    chat: Chat,
    context: int,
    batch_size: int,
    first: int = 0,
) -> Requests:
    """Ask every problem `profile.samples` times.

    Args:
        first: the index of the first sample that is asked for; those before are an earlier round's.
        context: the most tokens that the model takes, prompt and answer together.

    Raises:
        UserError: there are no problems, or the template fails.
    """
    if not problems:
        raise UserError("no problems to answer: the evaluation set is empty")
    asked = [chat.prompt(instruction(p, chat.config.prompt)) for p in problems]
    begun = [prompt.followed_by(profile.prefill) for prompt in asked]
    pairs = zip(chat.tokens([prompt.text for prompt in asked]), chat.tokens(begun), strict=True)
    prompts = [[*prompt, *beginning] for prompt, beginning in pairs]
    requests = [
        Request(
            problem_id=problem.id,
            index=k,
            seed=sample_seed(profile.sampling_seed, problem.id, k),
            prompt=prompt,
            beginning=question.opened + beginning,
            max_tokens=max(0, min(profile.max_tokens, context - len(prompt))),
        )
        for problem, prompt, question, beginning in zip(
            problems, prompts, asked, begun, strict=True
        )
        for k in range(first, profile.samples)
    ]
    # A sort that keeps the order of equals: the samples of a problem stay together, which share a prompt.
    order = sorted((r for r in requests if r.max_tokens), key=lambda r: len(r.prompt))
    batches = [order[begin : begin + batch_size] for begin in range(0, len(order), batch_size)]
    return Requests(requests, batches)


def end_tokens(of_checkpoint: Any, of_tokenizer: int | None) -> list[int]:
    """The tokens that end an answer: those that the checkpoint names, and its tokenizer's own.

    Raises:
        UserError: there is none.
    """
    given = of_checkpoint if isinstance(of_checkpoint, list) else [of_checkpoint]
    ends = {token for token in (of_tokenizer, *given) if token is not None}
    if not ends:
        raise UserError(
            "neither the tokenizer nor generation_config.json names a token that ends an answer; "
            "add `eos_token` to the checkpoint's tokenizer_config.json"
        )
    return sorted(ends)
