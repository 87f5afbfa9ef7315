"""The trainer: DeepSpeed's engine on a stream of batches, on CPU with gloo as on GPU with NCCL."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from valley import model_folder
from valley.data.pack import accumulation, batches
from valley.data.render import Document
from valley.errors import Stopped, UserError
from valley.records import digest
from valley.student import load_tokenizer
from valley.train.accumulation import Accumulation
from valley.train.apart import check_apart
from valley.train.attention import is_packed
from valley.train.checkpoint import KeptStudents, save_student
from valley.train.config import TrainConfig
from valley.train.deepspeed_keys import deepspeed_config
from valley.train.divergence import Divergence
from valley.train.engine import load_student, make_engine
from valley.train.keeping import Keeping
from valley.train.ranks import wait_for_one_another
from valley.train.resume import Position, ResumeFolder
from valley.train.schedule import learning_rate_at
from valley.train.step_log import StepLog
from valley.train.throughput import ModelShape, Throughput, device_peak_flops
from valley.train.trained import Attempt, Trained


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
        log: a JSON-lines file of the steps' losses, speeds and so on, see docs/training.md (rank 0).
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
    accumulation_steps = accumulation(
        config.batch_size, config.micro_batch_size, world_size, config.micro_batch_tokens
    )
    tokenizer = load_tokenizer(start)
    values = deepspeed_config(config, accumulation_steps, world_size)
    engine = make_engine(load_student(start, config, values), config, values)
    wait_for_one_another()
    if is_packed(config):
        check_apart(engine, config)
    name = _name(config, steps, seed, documents)
    student = digest(model_folder.content(str(start)))
    kept = ResumeFolder(resume, name, config.keep_resume, student) if resume else None
    begun = kept.restore(engine) if kept else Position()
    students = KeptStudents(engine, tokenizer, target.parent / "checkpoints", config)
    students.begin_after(begun.step, steps)
    throughput = Throughput(
        tokens=begun.tokens,
        before_s=begun.wall_s,
        shape=ModelShape.of(engine.module),
        peak_flops=device_peak_flops(world_size),
    )
    accumulate = Accumulation(engine, config, tokenizer.pad_token_id or 0)
    divergence = Divergence(config.loss_spike, begun.losses)
    loss_first, loss = begun.loss_first, math.nan
    keeping = Keeping(
        kept, config.checkpoint_every_s, beside=config.checkpoint_beside, step=begun.step
    )
    stopped: Stopped | None = None
    with StepLog(log if rank == 0 else None, begun.step, report) as lines, keeping:
        stream = batches(
            documents,
            steps=steps,
            batch_size=config.batch_size,
            micro_batch_size=config.micro_batch_size,
            seed=seed,
            rank=rank,
            world_size=world_size,
            begin=begun.step,
            row_tokens=config.row_capacity,
            micro_batch_tokens=config.micro_batch_tokens,
        )
        for step in range(begun.step, steps):
            waited = time.perf_counter()
            batch = next(stream)
            throughput.data_wait_s += time.perf_counter() - waited
            rate = learning_rate_at(step, steps, config)
            for group in engine.optimizer.param_groups:
                group["lr"] = rate
            total, positions, norm = accumulate(batch)
            # The flags go along in the sum that the loss needs anyway, so that all ranks agree.
            flags = (stop(), rank == 0 and keeping.due(), keeping.written())
            told = [positions, *map(float, flags)]
            sums = torch.cat([total, torch.tensor(told, device=engine.device)])
            dist.all_reduce(sums)
            total_loss, positions, stopping, due, written = sums.tolist()
            loss = total_loss / accumulate.divisor(batch)
            if loss_first is None:
                loss_first = loss
            try:
                divergence.check(step + 1, steps, loss, norm)
            except UserError:
                keeping.publish()  # all ranks are here, and what is being written is of before
                raise
            throughput.add(batch, positions, steps - step - 1)
            lines.add(step + 1, steps, loss, rate, norm, throughput)
            alive(step + 1)
            # One that is to stop has little time, and keeps what it goes on from; then, begun again, this.
            if students.is_due(step + 1, steps) and not stopping:
                students.keep(step + 1)
                alive(step + 1)
            if step + 1 == steps or not (stopping or due or written):
                continue
            began = time.perf_counter()
            if written == world_size:
                keeping.publish()
            if stopping or due:
                lines.sync()
                at = Position(
                    step + 1,
                    throughput.tokens,
                    throughput.wall_s,
                    loss_first,
                    tuple(divergence.before),
                )
                if not stopping:
                    keeping.begin(engine, at)
                else:
                    fault = keeping.save(engine, at)
                    stopped = Stopped(
                        step + 1,
                        steps,
                        kept=keeping.step,
                        gained=keeping.step > begun.step,
                        fault=fault,
                    )
                    break
            throughput.checkpoint_s += time.perf_counter() - began
        keeping.publish()  # the student that follows may find no room
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
        attempt=Attempt.of(throughput),
    )


def _name(config: TrainConfig, steps: int, seed: int, documents: Sequence[Document]) -> str:
    """What tells one training from another, for its checkpoints."""
    tokens = sum(len(document.tokens) for document in documents)
    return digest([config.semantic(), steps, seed, len(documents), tokens])
