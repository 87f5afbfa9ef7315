"""The head: the loss from the last hidden states, without ever holding all logits.

32k tokens times a vocabulary of 150k are 20 GB of float32, and as much again for their gradient. So the
head takes the counted tokens in chunks: of each it computes the logits, the loss and at once the gradient
of the hidden states and of the weight, and forgets the logits. The backward pass only scales what is
there.

The model's own `forward` stays as it is: for the length of one call its output layer is given a forward
that returns the loss instead of logits. The layer is still called as a module, so ZeRO-3 gathers its
weight for it, tied or not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from valley.train.kernels import liger_loss
from valley.train.rows import Rows

if TYPE_CHECKING:
    import torch

PLAIN_HEADS = frozenset({"llama", "mistral", "qwen2", "qwen3", "smollm3"})
"""Architectures whose logits are the output layer's, neither scaled nor capped."""
CHUNK_LOGITS = {"cpu": 1 << 24, "cuda": 1 << 28}
"""Logits of a chunk: 64 MiB of float32, which a CPU's caches like, and 1 GiB."""


def summed_loss(
    model: Any, rows: Rows, chunk_logits: int | None = None, *, liger: bool = False
) -> torch.Tensor:
    """The weighted sum, not the mean, of the response tokens' cross-entropies, in float32.

    Args:
        model: a causal language model of transformers, or DeepSpeed's engine around one.
        chunk_logits: how many logits may be held at once; None: as many as suits the device. Where
            they are no more all are held, and so they are where the head is not a plain one.
        liger: compute it with Liger's kernel, which knows no weights (kernels.py).
    """
    inner = getattr(model, "module", model)
    call = {"input_ids": rows.tokens, "use_cache": False, **rows.options}
    head = inner.get_output_embeddings()
    limit = chunk_logits or _chunk_logits(rows.tokens.device)
    small = rows.positions * inner.config.vocab_size <= limit
    if small or inner.config.model_type not in PLAIN_HEADS or head.bias is not None:
        return _of_logits(model(**call).logits, rows)
    with _as_loss(head, rows, limit, liger):
        return model(**call).logits


def _of_logits(logits: torch.Tensor, rows: Rows) -> torch.Tensor:
    import torch

    # Only those that count: the prompt's logits are never needed in float32.
    counted, labels = rows.at_counted(logits).float(), rows.at_counted(rows.labels)
    cross_entropy = torch.nn.functional.cross_entropy
    if rows.weights is None:
        return cross_entropy(counted, labels, reduction="sum")
    losses = cross_entropy(counted, labels, reduction="none")
    return (losses * rows.at_counted(rows.weights)).sum()


@contextmanager
def _as_loss(head: Any, rows: Rows, limit: int, liger: bool) -> Iterator[None]:
    """Let an output layer return the loss of its inputs."""
    labels = rows.at_counted(rows.labels)
    weights = None if rows.weights is None else rows.at_counted(rows.weights)

    def forward(hidden: torch.Tensor) -> torch.Tensor:
        if weights is None and liger:
            return liger_loss(rows.at_counted(hidden), head.weight, labels, limit)
        return chunked_loss(rows.at_counted(hidden), head.weight, labels, weights, limit)

    head.forward = forward
    try:
        yield
    finally:
        del head.forward


def _chunk_logits(device: torch.device) -> int:
    return CHUNK_LOGITS.get(device.type, CHUNK_LOGITS["cpu"])


def chunked_loss(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    labels: torch.Tensor,
    weights: torch.Tensor | None = None,
    chunk_logits: int | None = None,
) -> torch.Tensor:
    """Weighted sum of the cross-entropies of `hidden @ weight.T` against `labels`, float32, scalar.

    Args:
        hidden: (tokens, width).
        weight: (vocabulary, width).
        labels: (tokens,), int64.
        weights: (tokens,), float32, or None for 1 each.
        chunk_logits: how many logits may be held at once.
    """
    limit = chunk_logits or _chunk_logits(hidden.device)
    loss: torch.Tensor = _function().apply(
        hidden, weight, labels, weights, max(1, limit // weight.shape[0])
    )
    return loss


@cache
def _function() -> Any:
    """The autograd function; made on first use, since torch is not imported before."""
    import torch

    class ChunkedCrossEntropy(torch.autograd.Function):
        @staticmethod
        def forward(
            ctx: Any,
            hidden: torch.Tensor,
            weight: torch.Tensor,
            labels: torch.Tensor,
            weights: torch.Tensor | None,
            chunk: int,
        ) -> torch.Tensor:
            total = torch.zeros((), device=hidden.device)
            hidden_gradient = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
            weight_gradient = (
                torch.zeros(weight.shape, device=weight.device) if ctx.needs_input_grad[1] else None
            )
            for begin in range(0, len(hidden), chunk):
                part = slice(begin, begin + chunk)
                logits = (hidden[part] @ weight.T).float()
                log_total = logits.logsumexp(1, keepdim=True)
                wanted = labels[part, None]
                losses = (log_total - logits.gather(1, wanted))[:, 0]
                total += (losses if weights is None else losses * weights[part]).sum()
                # From here on `logits` holds the gradient by the logits.
                logits.sub_(log_total).exp_()
                logits.scatter_add_(1, wanted, logits.new_full(wanted.shape, -1.0))
                if weights is not None:
                    logits.mul_(weights[part, None])
                gradient = logits.to(hidden.dtype)
                if hidden_gradient is not None:
                    torch.mm(gradient, weight, out=hidden_gradient[part])
                if weight_gradient is not None:
                    if weight.dtype == torch.float32:
                        weight_gradient.addmm_(gradient.T, hidden[part])
                    else:
                        weight_gradient += gradient.T @ hidden[part]
            kept = None if weight_gradient is None else weight_gradient.to(weight.dtype)
            ctx.save_for_backward(hidden_gradient, kept)
            return total

        @staticmethod
        def backward(ctx: Any, outer: torch.Tensor) -> Any:
            by_hidden, by_weight = (
                None if gradient is None else gradient * outer.to(gradient.dtype)
                for gradient in ctx.saved_tensors
            )
            return by_hidden, by_weight, None, None, None

    return ChunkedCrossEntropy
