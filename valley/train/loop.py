"""The trainer: DeepSpeed's engine on a stream of batches, on CPU with gloo as on GPU with NCCL.

The loss of a step is the mean over the response tokens of the *global* batch. Each micro-batch's sum is
divided by the global number of tokens, and multiplied by the number of accumulation steps and ranks,
which the engine divides by: so the same global batch gives the same loss and gradient for any number of
ranks, nodes and accumulation steps. (A mean of micro-batch means would weight tokens by their batch.)
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from valley.data.pack import Batch, accumulation, batches
from valley.data.render import Document
from valley.errors import Stopped, UserError
from valley.records import digest
from valley.student import load_model, load_tokenizer
from valley.train.attention import padded_rows, summed_loss
from valley.train.checkpoint import keep_student, save_student
from valley.train.config import TrainConfig
from valley.train.resume import Position, ResumeFolder
from valley.train.step_log import StepLog
from valley.train.throughput import Throughput

if TYPE_CHECKING:
    import torch


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
    stop: Callable[[], bool] = lambda: False,
    alive: Callable[[int], None] = lambda _: None,
    resume: Path | None = None,
) -> Trained:
    """Train the checkpoint `start` on `documents` and save the result to `target`.

    Must run in every rank, after `cluster/rendezvous.py` has opened the process group.

    Args:
        log: a JSON-lines file of step, loss, learning_rate, gradient_norm, tokens_per_s (rank 0).
        report: called by rank 0 every second or so with step, steps, loss.
        stop: looked at after every step; once it says so in any rank, all of them keep a checkpoint
            of that step and stop.
        alive: called with the number of steps done, after each of them and before long writes.
        resume: folder of the checkpoints to go on from, which the caller removes when the result
            is safe; None keeps none.

    Raises:
        UserError: the batch cannot feed the ranks, or the training diverged.
        Stopped: the flag was set before the last step.
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
    name = _name(config, steps, seed, documents)
    kept = ResumeFolder(resume, name, config.keep_resume) if resume else None
    begun = kept.restore(engine) if kept else Position()
    throughput = Throughput(tokens=begun.tokens, before_s=begun.wall_s)
    loss_first, loss = begun.loss_first, math.nan
    due = _Due(config.checkpoint_every_s if kept else None)
    stopped: Stopped | None = None
    with StepLog(log if rank == 0 else None, begun.step, report) as lines:
        stream = batches(
            documents,
            steps=steps,
            batch_size=config.batch_size,
            micro_batch_size=config.micro_batch_size,
            seed=seed,
            rank=rank,
            world_size=world_size,
            begin=begun.step,
        )
        for step, batch in enumerate(stream, start=begun.step):
            rate = learning_rate_at(step, steps, config)
            for group in engine.optimizer.param_groups:
                group["lr"] = rate
            total, norm = _accumulate(engine, batch, tokenizer.pad_token_id or 0)
            # The flags go along in the sum that the loss needs anyway, so that all ranks agree.
            asked = [float(stop()), float(rank == 0 and due())]
            sums = torch.cat([total, torch.tensor(asked, device=engine.device)])
            dist.all_reduce(sums)
            total_loss, stopping, keeping = sums.tolist()
            loss = total_loss / batch.response_tokens
            if loss_first is None:
                loss_first = loss
            throughput.tokens += batch.tokens
            if not math.isfinite(loss):
                raise UserError(
                    f"the training diverged: loss {loss} at step {step + 1} of {steps}; "
                    "lower train.learning_rate or raise train.warmup_ratio"
                )
            lines.add(step + 1, steps, loss, rate, norm, throughput)
            alive(step + 1)
            if step + 1 < steps and (step + 1) % (config.evaluation_every or steps) == 0:
                keep_student(engine, tokenizer, target.parent / "checkpoints", step + 1, config)
                alive(step + 1)
            if (stopping or keeping) and step + 1 < steps:
                lines.sync()
                at = Position(step + 1, throughput.tokens, throughput.wall_s, loss_first)
                is_kept = kept is not None and kept.save(engine, at)
                due.reset()
                if stopping:
                    stopped = Stopped(step + 1, steps, is_kept)
                    break
    if stopped is None:
        save_student(engine, tokenizer, target, config.zero_stage)
    dist.barrier()
    engine.destroy()
    if stopped is not None:
        raise stopped
    return Trained(
        steps=steps,
        tokens=throughput.tokens,
        loss_first=loss if loss_first is None else loss_first,
        loss_last=loss,
        tokens_per_s=throughput.tokens_per_s,
    )


def _accumulate(engine: Any, batch: Batch, pad_token: int) -> tuple[torch.Tensor, float]:
    """One optimizer step of this rank; its summed loss, of shape (1,), and the gradient's norm."""
    import torch
    import torch.distributed as dist

    scale = engine.gradient_accumulation_steps() * dist.get_world_size()
    total = torch.zeros(1, device=engine.device)
    local_norm = None
    for documents_here in batch.micro_batches:
        tokens, labels = padded_rows(documents_here, pad_token, engine.device)
        loss = summed_loss(engine, tokens, labels)
        total += loss.detach()
        engine.backward(loss / batch.response_tokens * scale)
        if engine.is_gradient_accumulation_boundary():
            local_norm = _norm_before_step(engine)
        engine.step()
    norm = engine.get_global_grad_norm() if local_norm is None else local_norm
    return total, float(norm)


def _name(config: TrainConfig, steps: int, seed: int, documents: Sequence[Document]) -> str:
    """What tells one training from another, for its checkpoints."""
    tokens = sum(len(document.tokens) for document in documents)
    return digest([config.semantic(), steps, seed, len(documents), tokens])


class _Due:
    """Whether it is time for a checkpoint."""

    def __init__(self, every_s: float | None) -> None:
        self.every_s = every_s or math.inf
        self.reset()

    def reset(self) -> None:
        self.since = time.monotonic()

    def __call__(self) -> bool:
        return time.monotonic() - self.since >= self.every_s


def _norm_before_step(engine: Any) -> float | None:
    """The gradient's norm where the engine does not tell it: without ZeRO, in float32."""
    import torch

    gradients = [p.grad for p in engine.module.parameters() if p.grad is not None]
    if engine.zero_optimization() or engine.bfloat16_enabled() or not gradients:
        return None
    return float(torch.nn.utils.get_total_norm(gradients))
