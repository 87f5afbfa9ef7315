"""Accumulation: an optimizer step of one rank, micro-batch by micro-batch.

The loss of a step is the mean over the response tokens of the *global* batch (or over its documents, of
their own means). Each micro-batch's sum is divided by the global number of tokens, and multiplied by the
number of accumulation steps and ranks, which the engine divides by: so the same global batch gives the
same loss and gradient for any number of ranks, nodes and accumulation steps. (A mean of micro-batch means
would weight tokens by their batch.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from valley.data.pack import Batch
from valley.train.attention import is_packed
from valley.train.config import TrainConfig
from valley.train.head import summed_loss
from valley.train.kernels import uses_liger
from valley.train.rows import rows_of

if TYPE_CHECKING:
    import torch


class Accumulation:
    """Optimizer steps of this rank."""

    def __init__(self, engine: Any, config: TrainConfig, pad_token: int) -> None:
        self.engine = engine
        self.by_sequence = config.loss == "sequences"
        self.packed = is_packed(config)
        self.liger = uses_liger(config, engine.module.config.model_type)
        self.pad_token = pad_token

    def divisor(self, batch: Batch) -> int:
        """What a step's summed loss is divided by to give its mean."""
        return batch.documents if self.by_sequence else batch.response_tokens

    def __call__(self, batch: Batch) -> tuple[torch.Tensor, float, float]:
        """Do one step; this rank's summed loss, of shape (1,), its positions, and the gradient's norm."""
        import torch
        import torch.distributed as dist

        engine = self.engine
        divisor = self.divisor(batch)
        scale = engine.gradient_accumulation_steps() * dist.get_world_size()
        total = torch.zeros(1, device=engine.device)
        positions = 0
        local_norm = None
        for number, documents in enumerate(batch.micro_batches, 1):
            last = number == len(batch.micro_batches)
            # Said, and not left to the engine's own count: there may be more in one step than in another.
            engine.set_gradient_accumulation_boundary(last)
            rows = rows_of(
                documents,
                packed=self.packed,
                pad_token=self.pad_token,
                by_sequence=self.by_sequence,
                device=engine.device,
            )
            loss = summed_loss(engine, rows, liger=self.liger)
            total += loss.detach()
            positions += rows.positions
            engine.backward(loss / divisor * scale)
            if last:
                local_norm = _norm_before_step(engine)
            engine.step()
        norm = engine.get_global_grad_norm() if local_norm is None else local_norm
        return total, float(positions), float(norm)


def _norm_before_step(engine: Any) -> float | None:
    """The gradient's norm where the engine does not tell it: without ZeRO, in float32."""
    import torch

    gradients = [p.grad for p in engine.module.parameters() if p.grad is not None]
    if engine.zero_optimization() or engine.bfloat16_enabled() or not gradients:
        return None
    return float(torch.nn.utils.get_total_norm(gradients))
