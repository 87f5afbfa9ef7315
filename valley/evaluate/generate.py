"""Generation: a student's answers to problems, batched, greedy or with a seed per sample.

transformers' own decoding loop runs; sampling adds seeded Gumbel noise to the scaled logits and takes
the largest, which draws from the softmax exactly and gives every sample a stream of its own: it does not
depend on which other samples share its batch.

Of a checkpoint's `generation_config.json` only the tokens that end an answer are used, beside its
tokenizer's own: a template may end a turn with a token that the tokenizer does not name (Llama 3's
`<|eot_id|>`). No other generation setting is inherited, such as a penalty, a forbidden token or a
temperature: the profile says how every checkpoint is asked.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from valley.data.chat import ChatConfig
from valley.data.problems import Problem
from valley.data.render import Chat, instruction
from valley.errors import UserError
from valley.evaluate.profiles import Profile
from valley.evaluate.samples import Sample
from valley.student import load_model, load_tokenizer


def sample_seed(sampling_seed: int, problem_id: str, index: int) -> int:
    """The seed of one sample: a 63-bit hash of its place."""
    text = f"valley.sample/1:{sampling_seed}:{problem_id}:{index}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generate(
    model_folder: Path,
    problems: list[Problem],
    profile: Profile,
    batch_size: int,
    precision: Literal["fp32", "bf16"],
    report: Callable[..., None] = lambda **_: None,
    chat: ChatConfig | None = None,
) -> list[Sample]:
    """Answer every problem `profile.samples` times.

    Batches are planned from the prompts' lengths before decoding starts, so they are the same in every
    run. Weights and computation are in `precision`, on a GPU where there is one.

    Returns:
        Samples by problem in the given order, then by index.

    Raises:
        UserError: there are no problems, a prompt leaves no room for an answer, or no token ends one.
    """
    import torch
    from transformers import GenerationConfig

    if not problems:
        raise UserError("no problems to answer: the evaluation set is empty")
    tokenizer = load_tokenizer(model_folder)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_model(model_folder, precision).to(device).eval()
    ends = _end_tokens(model.generation_config.eos_token_id, tokenizer.eos_token_id)
    # Decoding fills in whatever it is not told from the model's own settings.
    model.generation_config = GenerationConfig()
    spoken = Chat(tokenizer, chat)
    asked = [spoken.prompt(instruction(p, spoken.config.prompt)) for p in problems]
    begun = [prompt.followed_by(profile.prefill) for prompt in asked]
    pairs = zip(spoken.tokens([prompt.text for prompt in asked]), spoken.tokens(begun), strict=True)
    prompts = [[*prompt, *beginning] for prompt, beginning in pairs]
    _check_room(problems, prompts, model.config.max_position_embeddings)
    requests = [(i, k) for i in range(len(problems)) for k in range(profile.samples)]
    order = sorted(requests, key=lambda request: (len(prompts[request[0]]), request))
    samples: dict[tuple[int, int], Sample] = {}
    for begin in range(0, len(order), batch_size):
        batch = order[begin : begin + batch_size]
        seeds = [sample_seed(profile.sampling_seed, problems[i].id, k) for i, k in batch]
        answers = _decode(model, ends, [prompts[i] for i, _ in batch], profile, seeds)
        for (i, k), seed, tokens in zip(batch, seeds, answers, strict=True):
            stopped = tokens[-1] in ends
            text = tokenizer.decode(tokens[:-1] if stopped else tokens, skip_special_tokens=True)
            samples[i, k] = Sample(
                problem_id=problems[i].id,
                index=k,
                seed=seed,
                text=asked[i].opened + begun[i] + text,
                finish_reason="stop" if stopped else "length",
                prompt_tokens=len(prompts[i]),
                completion_tokens=len(tokens),
            )
        report(step=len(samples), steps=len(order))
    return [samples[request] for request in requests]


def _check_room(problems: list[Problem], prompts: list[list[int]], context: int) -> None:
    longest = max(range(len(prompts)), key=lambda i: len(prompts[i]))
    if len(prompts[longest]) >= context:
        raise UserError(
            f"problem {problems[longest].id}: its prompt has {len(prompts[longest])} tokens and the "
            f"model's context is {context}; leave the problem out"
        )


def _end_tokens(of_checkpoint: int | list[int] | None, of_tokenizer: int | None) -> list[int]:
    given = of_checkpoint if isinstance(of_checkpoint, list) else [of_checkpoint]
    ends = {token for token in (of_tokenizer, *given) if token is not None}
    if not ends:
        raise UserError(
            "neither the tokenizer nor generation_config.json names a token that ends an answer; "
            "add `eos_token` to the checkpoint's tokenizer_config.json"
        )
    return sorted(ends)


def _decode(
    model: Any, ends: list[int], prompts: list[list[int]], profile: Profile, seeds: list[int]
) -> list[list[int]]:
    """The answers' tokens, each up to and with the first token that ends it."""
    import torch
    from transformers import GenerationConfig, LogitsProcessorList

    longest = max(map(len, prompts))
    room = model.config.max_position_embeddings - longest
    pad = ends[0]  # any token: it is masked in a prompt, and stands after an answer's end
    tokens = torch.full((len(prompts), longest), pad)
    mask = torch.zeros_like(tokens)
    for row, prompt in enumerate(prompts):
        tokens[row, longest - len(prompt) :] = torch.tensor(prompt)
        mask[row, longest - len(prompt) :] = 1
    processors = LogitsProcessorList()
    if profile.temperature > 0:
        processors.append(_SeededNoise(profile, seeds))
    with torch.inference_mode():
        out = model.generate(
            input_ids=tokens.to(model.device),
            attention_mask=mask.to(model.device),
            generation_config=GenerationConfig(
                max_new_tokens=min(profile.max_tokens, room),
                do_sample=False,
                num_beams=1,
                repetition_penalty=1.0,
                eos_token_id=ends,
                pad_token_id=pad,
            ),
            logits_processor=processors,
        )
    answers = []
    for row in out[:, longest:].tolist():
        end = next((i for i, token in enumerate(row, 1) if token in ends), len(row))
        answers.append(row[:end])
    return answers


class _SeededNoise:
    """A logits processor: temperature, top-p, then Gumbel noise from each sample's own generator."""

    def __init__(self, profile: Profile, seeds: list[int]) -> None:
        import torch
        from transformers import TemperatureLogitsWarper, TopPLogitsWarper

        self.warpers = [TemperatureLogitsWarper(profile.temperature)]
        if profile.top_p < 1:
            self.warpers.append(TopPLogitsWarper(profile.top_p))
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        import torch

        scores = scores.float()
        for warper in self.warpers:
            scores = warper(input_ids, scores)
        uniform = torch.stack(
            [torch.rand(scores.shape[1], generator=g, dtype=torch.float64) for g in self.generators]
        )
        noise = -torch.log(-torch.log(uniform.clamp(1e-300, 1 - 1e-16)))
        return scores + noise.to(scores.device, scores.dtype)
