"""Kernels: Liger's on a GPU, for what a model computes beside attention and matrix products.

torch computes a norm, a rotation or a gated activation in several steps, each of which reads and writes
all of it; and keeps what lies between them for the gradient. Liger's kernels do each at once, in the same
precision, and keep the inputs alone; of the output layer they never hold all logits.
"""

from __future__ import annotations

import importlib.util
from typing import Any

from valley.errors import UserError
from valley.train.config import TrainConfig


def uses_liger(config: TrainConfig, architecture: str) -> bool:
    """Whether a training's model computes with Liger's kernels.

    Args:
        architecture: transformers' name of it, such as `qwen2`.

    Raises:
        UserError: they were asked for, and cannot be had here.
    """
    import torch

    if config.kernels == "torch":
        return False
    fault = ""
    if not torch.cuda.is_available():
        fault = "needs a GPU, and there is none here"
    elif importlib.util.find_spec("liger_kernel") is None:
        fault = "needs the package liger-kernel, which is not installed here"
    elif not _knows(architecture):
        fault = f"knows no {architecture}"
    if fault and config.kernels == "liger":
        raise UserError(f"train.kernels: liger {fault}; set train.kernels: auto or torch")
    return not fault


def use_liger(model: Any) -> None:
    """Let a model of transformers compute with Liger's kernels; its loss is the head's affair."""
    from transformers.integrations.liger import apply_liger_kernel

    apply_liger_kernel(model, {"cross_entropy": False, "fused_linear_cross_entropy": False})


def _knows(architecture: str) -> bool:
    from liger_kernel.transformers.monkey_patch import MODEL_TYPE_TO_APPLY_LIGER_FN

    return architecture in MODEL_TYPE_TO_APPLY_LIGER_FN


def liger_loss(hidden: Any, weight: Any, labels: Any, chunk_logits: int) -> Any:
    """The sum of the cross-entropies of `hidden @ weight.T` against `labels`, float32, scalar.

    Args:
        hidden: (tokens, width), on a GPU.
        weight: (vocabulary, width).
        labels: (tokens,), int64.
        chunk_logits: about how many logits may be held at once.
    """
    import torch
    from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

    return liger_fused_linear_cross_entropy(
        hidden,
        weight,
        labels,
        reduction="sum",
        # Left to itself it sums the weight's gradient over the chunks in the weight's precision.
        accum_dtype=torch.float32,
        # Left to itself it takes so small chunks of a large vocabulary that the GPU idles.
        chunk_mem_const=max(1, chunk_logits // hidden.numel()),
    )
