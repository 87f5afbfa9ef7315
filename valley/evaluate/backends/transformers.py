"""transformers: its own decoding loop, on the batches as they were planned.

Sampling adds seeded Gumbel noise to the scaled logits and takes the largest, which draws from the softmax
exactly and gives every sample a stream of its own: it does not depend on which other samples share its
batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from valley.data.render import Document
from valley.evaluate.backends.base import Answer, Decoding
from valley.evaluate.backends.installed import check_installed
from valley.evaluate.profiles import BackendName, Profile
from valley.evaluate.requests import Request
from valley.student import load_model

CHUNK_TOKENS = 512
"""How many tokens' probabilities are held in float32 at once: 300 MB with a vocabulary of 150k."""


class TransformersBackend:
    """A model in this process, on a GPU where there is one."""

    name: BackendName = "transformers"
    batches_are_whole = True

    def __init__(self, decoding: Decoding) -> None:
        import torch
        import transformers

        self.version = check_installed(self.name)
        # A batch is decoded from the same tensors in every run. On a GPU kernels may sum in another order.
        self.repeats = decoding.precision == "fp32" and not torch.cuda.is_available()
        self._profile, self.ends = decoding.profile, decoding.ends
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = load_model(decoding.model_folder, decoding.precision).to(device).eval()
        # Decoding fills in whatever it is not told from the model's own settings.
        self.model.generation_config = transformers.GenerationConfig()

    def answers(self, batches: list[list[Request]]) -> Iterator[list[Answer]]:
        """Decode batch after batch."""
        for batch in batches:
            tokens = self._decode(batch)
            yield [Answer(request, row) for request, row in zip(batch, tokens, strict=True)]

    def surprise(self, documents: list[Document]) -> list[float]:
        """One document after another, so that none depends on what it is beside."""
        import torch

        with torch.inference_mode():
            return [self._surprise(document) for document in documents]

    def _surprise(self, document: Document) -> float:
        import torch

        tokens = torch.tensor([list(document.tokens)], device=self.model.device)
        learnt = document.response_tokens
        # The logits at a token are of the one after it, and those of the prompt's own are not needed.
        logits = self.model(tokens[:, :-1], use_cache=False, logits_to_keep=learnt).logits[0]
        total = 0.0
        for begin in range(0, learnt, CHUNK_TOKENS):
            those = logits[begin : begin + CHUNK_TOKENS].float()
            following = tokens[0, document.prompt_tokens + begin :][: len(those)]
            total += float(torch.nn.functional.cross_entropy(those, following, reduction="sum"))
        return total

    def _decode(self, batch: list[Request]) -> list[list[int]]:
        import torch
        from transformers import GenerationConfig, LogitsProcessorList

        longest = max(len(request.prompt) for request in batch)
        pad = self.ends[0]  # any token: it is masked in a prompt, and stands after an answer's end
        tokens = torch.full((len(batch), longest), pad)
        mask = torch.zeros_like(tokens)
        for row, request in enumerate(batch):
            tokens[row, longest - len(request.prompt) :] = torch.tensor(request.prompt)
            mask[row, longest - len(request.prompt) :] = 1
        processors = LogitsProcessorList()
        if self._profile.temperature > 0:
            processors.append(_SeededNoise(self._profile, [request.seed for request in batch]))
        with torch.inference_mode():
            out = self.model.generate(
                input_ids=tokens.to(self.model.device),
                attention_mask=mask.to(self.model.device),
                generation_config=GenerationConfig(
                    max_new_tokens=max(request.max_tokens for request in batch),
                    do_sample=False,
                    num_beams=1,
                    repetition_penalty=1.0,
                    eos_token_id=self.ends,
                    pad_token_id=pad,
                ),
                logits_processor=processors,
            )
        answers = []
        for request, row in zip(batch, out[:, longest:].tolist(), strict=True):
            most = min(len(row), request.max_tokens)
            end = next((i for i, token in enumerate(row[:most], 1) if token in self.ends), most)
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
