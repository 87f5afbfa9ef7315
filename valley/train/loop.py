"""The trainer: DeepSpeed's engine on a stream of batches, on CPU with gloo as on GPU with NCCL.

The loss of a step is the mean over the response tokens of the *global* batch. Each micro-batch's sum is
divided by the global number of tokens, and multiplied by the number of accumulation steps and ranks,
which the engine divides by: so the same global batch gives the same loss and gradient for any number of
ranks, nodes and accumulation steps. (A mean of micro-batch means would weight tokens by their batch.)
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valley.data.pack import accumulation, batches
from valley.data.render import Document
from valley.errors import UserError
from valley.student import load_model, load_tokenizer
from valley.train.attention import padded_rows, summed_loss
from valley.train.checkpoint import save_student
from valley.train.config import TrainConfig
from valley.train.throughput import Throughput

STEP_SCHEMA = "valley.step/1"


@dataclass(frozen=True)
class Trained:
    """What a training did."""

    steps: int
    tokens: int
    loss_first: float
    loss_last: float
    tokens_per_s: float


def learning_rate_at(step: int, steps: int, config: TrainConfig) -> float:
    """The learning rate of a step, from 0: linear warm-up, then cosine or linear decay to zero."""
    warmup = round(config.warmup_ratio * steps)
    if step < warmup:
        return config.learning_rate * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    decay = 0.5 * (1 + math.cos(math.pi * done)) if config.schedule == "cosine" else 1 - done
    return config.learning_rate * decay


def deepspeed_config(
    config: TrainConfig, accumulation_steps: int, world_size: int
) -> dict[str, Any]:
    """DeepSpeed's own configuration, from ours."""
    values: dict[str, Any] = {
        # Micro-batches are of our making and of varying count, so DeepSpeed's size is nominal: it
        # only checks the product.
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": accumulation_steps,
        "train_batch_size": accumulation_steps * world_size,
        "zero_optimization": {"stage": config.zero_stage},
        "zero_allow_untested_optimizer": True,
        # torch's AdamW, which resumes bit by bit and needs no compiler.
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 10**9,
    }
    if config.zero_stage == 3:
        values["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] = True
    if config.precision == "bf16":
        values["bf16"] = {"enabled": True}
    # Said also where there is none: DeepSpeed clips at 1.0 when it is not told (0.19).
    values["gradient_clipping"] = config.gradient_clip or 0.0
    return values


def make_engine(model: Any, config: TrainConfig, accumulation_steps: int, world_size: int) -> Any:
    """Wrap a model in DeepSpeed's engine. The process group must be initialised."""
    import deepspeed
    import torch

    if not torch.cuda.is_available():
        # Otherwise initialize() compiles a shared-memory all-reduce, which needs a compiler; gloo
        # does its work.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    optimizer = torch.optim.AdamW(
        model.parameters(),
        lr=config.learning_rate,
        betas=config.adam_betas,
        weight_decay=config.weight_decay,
    )
    engine, *_ = deepspeed.initialize(
        model=model,
        optimizer=optimizer,
        config=deepspeed_config(config, accumulation_steps, world_size),
        dist_init_required=False,
    )
    return engine


def train(
    documents: Sequence[Document],
    start: Path,
    target: Path,
    config: TrainConfig,
    *,
    steps: int,
    seed: int,
    log: Path,
    report: Callable[..., None] = lambda **_: None,
) -> Trained:
    """Train the checkpoint `start` on `documents` and save the result to `target`.

    Must run in every rank, after `cluster/rendezvous.py` has opened the process group.

    Args:
        log: a JSON-lines file of step, loss, learning_rate, gradient_norm, tokens_per_s (rank 0).
        report: called by rank 0 every second or so with step, steps, loss.

    Raises:
        UserError: the batch cannot feed the ranks, or the training diverged.
    """
    import torch
    import torch.distributed as dist

    torch.manual_seed(seed)
    rank, world_size = dist.get_rank(), dist.get_world_size()
    accumulation_steps = accumulation(config.batch_size, config.micro_batch_size, world_size)
    tokenizer = load_tokenizer(start)
    model = load_model(start, "fp32")
    model.train()
    engine = make_engine(model, config, accumulation_steps, world_size)
    throughput = Throughput()
    losses: list[float] = []
    reported_s = 0.0
    with (log if rank == 0 else Path(os.devnull)).open("w", encoding="utf-8") as lines:
        stream = batches(
            documents,
            steps=steps,
            batch_size=config.batch_size,
            micro_batch_size=config.micro_batch_size,
            seed=seed,
            rank=rank,
            world_size=world_size,
        )
        for step, batch in enumerate(stream):
            rate = learning_rate_at(step, steps, config)
            for group in engine.optimizer.param_groups:
                group["lr"] = rate
            total = torch.zeros((), device=engine.device)
            local_norm = None
            for documents_here in batch.micro_batches:
                tokens, labels = padded_rows(
                    documents_here, tokenizer.pad_token_id or 0, engine.device
                )
                loss = summed_loss(engine, tokens, labels)
                total += loss.detach()
                engine.backward(loss / batch.response_tokens * accumulation_steps * world_size)
                if engine.is_gradient_accumulation_boundary():
                    local_norm = _norm_before_step(engine)
                engine.step()
            dist.all_reduce(total)
            losses.append(float(total) / batch.response_tokens)
            norm = engine.get_global_grad_norm() if local_norm is None else local_norm
            throughput.tokens += batch.tokens
            if not math.isfinite(losses[-1]):
                raise UserError(
                    f"the training diverged: loss {losses[-1]} at step {step + 1} of {steps}; "
                    "lower train.learning_rate or raise train.warmup_ratio"
                )
            if rank == 0:
                line = {
                    "schema": STEP_SCHEMA,
                    "step": step + 1,
                    "loss": losses[-1],
                    "learning_rate": rate,
                    "gradient_norm": float(norm),
                    "tokens_per_s": round(throughput.tokens_per_s, 1),
                }
                lines.write(json.dumps(line) + "\n")
                if throughput.wall_s - reported_s > 1:
                    reported_s = throughput.wall_s
                    lines.flush()
                    report(step=step + 1, steps=steps, loss=round(losses[-1], 4))
    save_student(engine, tokenizer, target, config.zero_stage)
    dist.barrier()
    engine.destroy()
    return Trained(
        steps=steps,
        tokens=throughput.tokens,
        loss_first=losses[0],
        loss_last=losses[-1],
        tokens_per_s=throughput.tokens_per_s,
    )


def _norm_before_step(engine: Any) -> float | None:
    """The gradient's norm where the engine does not tell it: without ZeRO, in float32."""
    import torch

    gradients = [p.grad for p in engine.module.parameters() if p.grad is not None]
    if engine.zero_optimization() or engine.bfloat16_enabled() or not gradients:
        return None
    return float(torch.nn.utils.get_total_norm(gradients))
