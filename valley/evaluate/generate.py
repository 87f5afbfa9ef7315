"""Generation: a student's answers to problems, whatever decodes them.

1. `requests` plans what is asked: prompts, seeds, limits, batches.
2. A backend answers the batches that are not kept from an earlier start.
3. Answers become samples and are kept as they come.

Of a checkpoint's `generation_config.json` only the tokens that end an answer are used, beside its
tokenizer's own: a template may end a turn with a token that the tokenizer does not name (Llama 3's
`<|eot_id|>`). No other generation setting is inherited, such as a penalty, a forbidden token or a
temperature: the profile says how every checkpoint is asked.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from valley.data.chat import ChatConfig
from valley.data.problems import Problem
from valley.data.render import Chat
from valley.evaluate.backends.base import Answer, Backend, Decoding, load_backend
from valley.evaluate.backends.installed import check_installed
from valley.evaluate.kept import KeptSamples
from valley.evaluate.likelihood import HeldOut
from valley.evaluate.profiles import BackendName, Profile
from valley.evaluate.requests import Request, Requests, end_tokens, plan_requests
from valley.evaluate.samples import Sample
from valley.student import load_tokenizer, positions

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Setting:
    """How problems are asked and answered: a generate job's settings."""

    profile: Profile
    batch_size: int
    precision: Literal["fp32", "bf16"]
    chat: ChatConfig
    backend: BackendName = "transformers"

    @classmethod
    def of(cls, config: dict[str, Any]) -> Setting:
        """As a job's `config` tells it."""
        profile = Profile.model_validate(config["profile"])
        taught = ChatConfig.model_validate(config.get("chat", {}))
        return cls(
            profile,
            config["batch_size"],
            config["precision"],
            profile.chat(taught),
            config.get("backend", "transformers"),
        )


@dataclass(frozen=True)
class Generated:
    """The samples, by problem in the given order and then by index, and how they were made."""

    samples: list[Sample]
    outcome: dict[str, Any]


def generate(
    model_folder: Path,
    problems: list[Problem],
    setting: Setting,
    *,
    report: Callable[..., None] = lambda **_: None,
    keep: Path | None = None,
    made_from: str = "",
    shard: tuple[int, int] = (0, 1),
    first: int = 0,
    held_out: HeldOut | None = None,
) -> Generated:
    """Answer every problem `profile.samples` times, or the part of a shard.

    Weights and computation are in `precision`, on a GPU where there is one. A prompt that leaves no
    room for an answer gets an empty one, of finish reason `length`, and is counted.

    Args:
        keep: the file that finished samples are kept in, and that an earlier start may have left.
        made_from: what tells this student's weights from others; what was kept of others is not used.
        shard: its index from 0, and how many there are.
        first: the index of the first sample; those before are an earlier round's.
        held_out: traces whose likelihood is measured after the answers have been made.

    Raises:
        UserError: there are no problems, the checkpoint has no template or no token that ends an
            answer, or the backend cannot be had.
    """
    began = time.perf_counter()
    check_installed(setting.backend)
    tokenizer = load_tokenizer(model_folder)
    context, ends = _read_settings(model_folder, tokenizer.eos_token_id)
    chat = Chat(tokenizer, setting.chat)
    requests = plan_requests(problems, setting.profile, chat, context, setting.batch_size, first)
    _say_too_long(requests, context)
    requests = requests.shard(*shard)
    documents = [] if held_out is None else held_out.documents(tokenizer, context)
    lengths = [len(r.prompt) + r.max_tokens for b in requests.batches for r in b]
    lengths += [len(document.tokens) + 1 for document in documents if document is not None]
    decoding = Decoding(
        model_folder,
        setting.profile,
        setting.precision,
        ends,
        setting.batch_size,
        max(lengths, default=0),
    )
    backend = load_backend(setting.backend, decoding)
    made = {
        "requests": requests.digest,
        "student": made_from,
        "backend": backend.name,
        "version": backend.version,
    }
    kept = KeptSamples(keep, made)
    batches = _left(requests, kept, backend)
    asked = {request.key for batch in batches for request in batch}
    earlier, clock = len(kept.samples), time.perf_counter()
    logger.info(
        "%s %s loaded in %.1f s; %d samples to make, %d kept from an earlier start",
        backend.name,
        backend.version,
        clock - began,
        len(asked),
        earlier,
    )
    # Where it might have come out otherwise, a sample says that its run had been broken off.
    resumed = earlier > 0 and not backend.repeats
    with closing(kept):
        for answers in backend.answers(batches):
            kept.add([_sample(answer, ends, tokenizer, resumed) for answer in answers])
            report(step=len(kept.samples), steps=len(requests.all))
    decode_s = time.perf_counter() - clock
    likelihood = {} if held_out is None else {"held_out": held_out.score(documents, backend)}
    empty = {request.key: _unanswered(request) for request in requests.too_long}
    samples = [(kept.samples | empty)[request.key] for request in requests.all]
    _log([s for key, s in kept.samples.items() if key in asked], decode_s)
    return Generated(
        samples,
        {
            "backend": backend.name,
            "backend_version": backend.version,
            "startup_s": round(clock - began, 3),
            "decode_s": round(decode_s, 3),
            "kept_samples": earlier,
            **likelihood,
        },
    )


def _read_settings(model_folder: Path, end_of_tokenizer: int | None) -> tuple[int, list[int]]:
    """The most tokens that the model takes, and the tokens that end an answer."""
    from transformers import AutoConfig, GenerationConfig

    config = AutoConfig.from_pretrained(model_folder, local_files_only=True)
    if (model_folder / "generation_config.json").exists():
        ends = GenerationConfig.from_pretrained(model_folder, local_files_only=True).eos_token_id
    else:
        ends = GenerationConfig.from_model_config(config).eos_token_id
    # Some kinds call it otherwise (GPT-2: n_positions), which their classes know; others bear any length.
    told = positions(model_folder)
    context = getattr(config, "max_position_embeddings", sys.maxsize) if told is None else told
    return context, end_tokens(ends, end_of_tokenizer)


def _left(requests: Requests, kept: KeptSamples, backend: Backend) -> list[list[Request]]:
    """What is still to be answered. A batch counts as done whole or not at all, as it is planned."""
    if backend.batches_are_whole:
        batches = [b for b in requests.batches if any(r.key not in kept.samples for r in b)]
    else:
        batches = [[r for r in b if r.key not in kept.samples] for b in requests.batches]
    left = {request.key for batch in batches for request in batch}
    kept.keep_only([r.key for b in requests.batches for r in b if r.key not in left])
    return [batch for batch in batches if batch]


def _sample(answer: Answer, ends: list[int], tokenizer: Any, resumed: bool) -> Sample:
    request, tokens = answer.request, answer.tokens
    stopped = bool(tokens) and tokens[-1] in ends
    text = tokenizer.decode(tokens[:-1] if stopped else tokens, skip_special_tokens=True)
    return Sample(
        problem_id=request.problem_id,
        index=request.index,
        seed=request.seed,
        text=request.beginning + text,
        finish_reason="stop" if stopped else "length",
        prompt_tokens=len(request.prompt),
        completion_tokens=len(tokens),
        resumed=resumed,
    )


def _unanswered(request: Request) -> Sample:
    """The sample of a prompt that leaves no room: nothing was asked, so nothing is its answer."""
    return Sample(request.problem_id, request.index, request.seed, "", "length", 0, 0)


def _say_too_long(requests: Requests, context: int) -> None:
    if not requests.too_long:
        return
    problems = list(dict.fromkeys(request.problem_id for request in requests.too_long))
    longest = max(requests.too_long, key=lambda request: len(request.prompt))
    logger.warning(
        "%d problems are not asked: their prompts leave no room in the model's context of %d tokens; "
        "they count as not completed: %s%s; the longest, of %s, has %d",
        len(problems),
        context,
        ", ".join(problems[:3]),
        ", …" if len(problems) > 3 else "",
        longest.problem_id,
        len(longest.prompt),
    )


def _log(made: list[Sample], decode_s: float) -> None:
    """Say how fast samples were made, and how many were cut."""
    written = sum(sample.completion_tokens for sample in made)
    cut = sum(sample.finish_reason == "length" for sample in made)
    logger.info(
        "%d samples in %.1f s: %d prompt tokens, %d completion tokens, %.0f tokens/s, %.1f %% cut at "
        "the longest answer",
        len(made),
        decode_s,
        sum(sample.prompt_tokens for sample in made),
        written,
        written / decode_s if decode_s else 0.0,
        100 * cut / len(made) if made else 0.0,
    )
