"""Throughput: what a training step costs, and how fast the steps come."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from valley.data.pack import Batch

PEAK_TFLOPS = {
    "H100 PCIe": 756.0,
    "H100 NVL": 835.0,
    "H100": 989.0,
    "H200": 989.0,
    "H800": 989.0,
    "GH200": 989.0,
    "B200": 2250.0,
    "A100": 312.0,
    "A800": 312.0,
    "L40S": 362.0,
    "L4": 121.0,
    "A10G": 70.0,
    "A10": 125.0,
}
"""Dense bf16 by device, the first name that the device's contains; NVIDIA's data sheets, without
sparsity."""


def training_flops(parameters: float, tokens: float) -> float:
    """Model FLOPs of training on `tokens`: 6 per parameter and token (Kaplan et al., 2020, eq. 2.4).

    Attention over the context is left out; it is small while documents are short against the width.
    """
    return 6 * parameters * tokens


def peak_tflops(device_name: str) -> float | None:
    """A device's dense bf16 peak; None where it is not known."""
    # Whole words: "L4" is no part of "L40".
    words = f" {device_name.replace('-', ' ')} "
    return next((peak for name, peak in PEAK_TFLOPS.items() if f" {name} " in words), None)


@dataclass(frozen=True)
class ModelShape:
    """What the FLOPs of a model follow from."""

    body: int
    """Parameters that every token is multiplied with: all but embeddings and output layer."""
    head: int
    """The output layer's, which response tokens alone are multiplied with."""
    layers: int
    attention_width: int
    """Heads times their width."""

    @classmethod
    def of(cls, model: Any) -> ModelShape:
        """The shape of a causal language model of transformers, in shares or whole."""

        def count(parameters: Iterable[Any]) -> int:
            return sum(getattr(p, "ds_numel", p.numel()) for p in parameters)

        embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
        around = {id(p): p for layer in (embedding, head) for p in layer.parameters()}
        config = model.config
        width = getattr(config, "head_dim", None) or (
            config.hidden_size // config.num_attention_heads
        )
        return cls(
            body=count(model.parameters()) - count(around.values()),
            head=count(head.parameters()),
            layers=config.num_hidden_layers,
            attention_width=width * config.num_attention_heads,
        )

    def flops(self, lengths: Iterable[int], response_tokens: int) -> float:
        """Model FLOPs of a step: three times the forward pass, without any recomputation.

        Attention is counted for each document by itself and causally: half of the square of its length.
        """
        tokens = squares = 0
        for length in lengths:
            tokens += length
            squares += length * length
        weights = training_flops(self.body, tokens) + training_flops(self.head, response_tokens)
        return weights + 6 * self.layers * self.attention_width * squares


@dataclass
class Throughput:
    """Counts work against the clock from its making on, beside what was counted before."""

    started: float = field(default_factory=time.perf_counter)
    tokens: int = 0
    before_s: float = 0.0
    """Seconds that earlier attempts of the same training took."""
    shape: ModelShape | None = None
    peak_flops: float | None = None
    """FLOP/s of all ranks' devices together at their best; None where that is not known."""
    steps: int = 0
    """Of this attempt, as what follows is."""
    documents: int = 0
    attempt_tokens: int = 0
    positions: float = 0
    """Tokens that were computed, padding included."""
    flops: float = 0
    data_wait_s: float = 0.0
    checkpoint_s: float = 0.0
    peak_memory_gib: float | None = None
    """Of rank 0: allocated on its GPU, else resident in memory."""
    step: dict[str, float | None] = field(default_factory=dict)
    """The last step's numbers, as the log tells them."""
    _step_began: float = field(default_factory=time.perf_counter)

    @property
    def attempt_s(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started

    @property
    def wall_s(self) -> float:
        """Seconds since the start, and those before."""
        return self.before_s + self.attempt_s

    @property
    def tokens_per_s(self) -> float:
        """Real tokens per second, prompts included and padding not, over all ranks."""
        return self.tokens / max(self.wall_s, 1e-9)

    @property
    def fill(self) -> float | None:
        """The share of the computed positions that were real tokens."""
        return self.attempt_tokens / self.positions if self.positions else None

    @property
    def mfu(self) -> float | None:
        """Model FLOPs per second, checkpoints and all, as a share of the devices' peak."""
        return self._share(self.flops, self.attempt_s)

    def add(self, batch: Batch, positions: float, steps_left: int) -> None:
        """Count a step that is done."""
        now = time.perf_counter()
        took = max(now - self._step_began, 1e-9)
        self._step_began = now
        flops = self.shape.flops(batch.lengths, batch.response_tokens) if self.shape else 0.0
        self.steps += 1
        self.tokens += batch.tokens
        self.attempt_tokens += batch.tokens
        self.documents += batch.documents
        self.positions += positions
        self.flops += flops
        self.peak_memory_gib = peak_memory_gib()
        self.step = {
            "tokens": batch.tokens,
            "documents": batch.documents,
            "positions": int(positions),
            "step_s": round(took, 4),
            "step_tokens_per_s": round(batch.tokens / took, 1),
            "step_positions_per_s": round(positions / took, 1),
            "tflops_per_s": round(flops / took / 1e12, 4),
            "mfu": self._share(flops, took),
            "peak_memory_gib": round(self.peak_memory_gib, 3),
            "data_wait_s": round(self.data_wait_s, 3),
            "checkpoint_s": round(self.checkpoint_s, 3),
            "eta_s": round(steps_left * self.attempt_s / self.steps, 1),
        }

    def _share(self, flops: float, seconds: float) -> float | None:
        return round(flops / seconds / self.peak_flops, 4) if self.peak_flops and flops else None


def device_peak_flops(ranks: int) -> float | None:
    """FLOP/s of so many devices like this rank's; None where that is not known."""
    import torch

    if not torch.cuda.is_available():
        return None
    peak = peak_tflops(torch.cuda.get_device_name())
    return None if peak is None else peak * 1e12 * ranks


def peak_memory_gib() -> float:
    """The most memory that this process has had: on its GPU where it has one, else resident."""
    import resource
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
