"""One trainer in a process of its own, which trains when it is told to: `python train_worker.py TASK.json…`.

TASK: {"how": "valley" | "bare" | "trl", "student", "documents": [[token…]…], "row_tokens", "batch_size",
"steps_per_round", "rounds", "settings", "started", "threads" (1 where it is left out), "initial_loss" (true
where it is left out)}. It prints one JSON line when it is ready, with what the start took and, where that is
asked for, the token-mean loss of the initial weights over all documents; then waits for a line on its
standard input before each round of optimizer steps, and prints {"seconds", "tokens", "peak_gib"} after it.
After a task's last round another line makes it ready for the next task; one that a GPU has no memory for is
told as {"failed"}.
"""

from __future__ import annotations

import gc
import json
import math
import os
import resource
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

# Before torch is imported.
os.environ.update(TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")

LEARNING_RATE = 1e-4
CLIP = 1.0


class Rounds:
    """Counts steps and tokens; at the end of a round it tells, and waits for the next."""

    def __init__(self, task: dict[str, Any], told: Any) -> None:
        self.task, self.told = task, told
        self.steps = self.tokens = 0
        self.began = 0.0

    def wait(self, **first: Any) -> None:
        """Say that it is ready, or what a round was, and go on when told to."""
        told = {**first, "peak_gib": peak_gib(), "reserved_gib": reserved_gib()}
        print(json.dumps(told), file=self.told, flush=True)
        if not sys.stdin.readline():
            sys.exit("nobody is there to tell to go on")
        self.steps = self.tokens = 0
        self.began = time.perf_counter()

    def step(self, tokens: int) -> None:
        """Count an optimizer step."""
        self.steps += 1
        self.tokens += tokens
        if self.steps == self.task["steps_per_round"]:
            self.wait(seconds=time.perf_counter() - self.began, tokens=self.tokens)


def peak_gib() -> float:
    """The most memory so far: allocated on the GPU where there is one, else resident."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def reserved_gib() -> float | None:
    """The most GPU memory so far that torch has held, with what lay idle; None without a GPU."""
    import torch

    return torch.cuda.max_memory_reserved() / 2**30 if torch.cuda.is_available() else None


def when_first_called(task: dict[str, Any]) -> dict[str, float]:
    """Seconds by the clock, and of CPU time, until any model is called; filled when one is."""
    from torch.nn.modules.module import register_module_forward_pre_hook

    told: dict[str, float] = {}

    def note(*_: Any) -> None:
        hook.remove()
        told.update(
            before_first_step_s=time.time() - task["started"],
            before_first_step_cpu_s=time.process_time(),
        )

    hook = register_module_forward_pre_hook(note)
    return told


def total_steps(task: dict[str, Any]) -> int:
    """One step before the first round, which is not timed, and those of the rounds."""
    return 1 + task["rounds"] * task["steps_per_round"]


def with_valley(task: dict[str, Any], rounds: Rounds) -> None:
    """The trainer, whole: log, flags and all."""
    from valley.cluster.rendezvous import join_process_group, place
    from valley.data.pack import batches
    from valley.train.loop import train

    documents, config, batch_options = _valley_inputs(task)
    steps = total_steps(task)
    counts = [batch.tokens for batch in batches(documents, steps=steps, seed=0, **batch_options)]
    first_step = when_first_called(task)

    def alive(step: int) -> None:
        if step == 1:
            rounds.wait(loss=None, start_up_s=time.time() - task["started"], **first_step)
        elif step > 1:
            rounds.step(counts[step - 1])

    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        join_process_group(place(), folder)
        train(
            documents,
            Path(task["student"]),
            folder / "model",
            config,
            steps=steps,
            seed=0,
            log=folder / "log.jsonl",
            alive=alive,
        )


def bare(task: dict[str, Any], rounds: Rounds) -> None:
    """The floor: the same packed batches, model, loss and optimizer, and nothing around them."""
    import torch

    from valley.data.bins import pack
    from valley.data.pack import batches
    from valley.train.engine import load_student
    from valley.train.head import summed_loss
    from valley.train.rows import rows_of

    documents, config, batch_options = _valley_inputs(task)
    model = load_student(Path(task["student"]), config.model_copy(update={"zero_stage": 0}), {})
    bins = pack([len(d.tokens) for d in documents], task["row_tokens"])
    with torch.no_grad():
        sums = [
            float(summed_loss(model, rows_of([documents[i] for i in row], packed=True)))
            for row in bins
        ]
    loss = math.fsum(sums) / sum(d.response_tokens for d in documents)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
    stream = batches(documents, steps=total_steps(task), seed=0, **batch_options)
    for step, batch in enumerate(stream):
        for micro_batch in batch.micro_batches:
            rows = rows_of(micro_batch, packed=True)
            (summed_loss(model, rows) / batch.response_tokens).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad()
        if step == 0:
            rounds.wait(loss=loss, start_up_s=time.time() - task["started"])
        else:
            rounds.step(batch.tokens)


def with_trl(task: dict[str, Any], rounds: Rounds) -> None:
    """trl's SFTTrainer, packing best-fit decreasing, in its own environment."""
    import torch
    from datasets import Dataset
    from transformers import AutoTokenizer, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    rows = Dataset.from_dict({"input_ids": task["documents"]})
    on_gpu = torch.cuda.is_available()
    model_options = {"dtype": "float32", **task["settings"].get("trl_model", {})}
    if model_options.get("attn_implementation") == "documents":
        model_options["attn_implementation"] = _documents_in_half()

    class Counted(SFTTrainer):
        tokens = 0

        def training_step(self, model: Any, inputs: Any, *more: Any, **options: Any) -> Any:
            self.tokens += inputs["input_ids"].numel()
            return super().training_step(model, inputs, *more, **options)

    class Told(TrainerCallback):
        def on_step_end(self, arguments: Any, state: Any, control: Any, **_: Any) -> None:
            tokens, trainer.tokens = trainer.tokens, 0
            if state.global_step == 1:
                rounds.wait(loss=loss, start_up_s=time.time() - task["started"])
            else:
                rounds.step(tokens)

    with tempfile.TemporaryDirectory() as temporary:
        trainer = Counted(
            model=task["student"],
            args=SFTConfig(
                output_dir=temporary,
                max_length=task["row_tokens"],
                packing=True,
                packing_strategy="bfd",
                eval_packing=True,
                per_device_train_batch_size=1,
                per_device_eval_batch_size=1,
                gradient_accumulation_steps=task["batch_size"],
                max_steps=total_steps(task),
                learning_rate=LEARNING_RATE,
                lr_scheduler_type="constant",
                max_grad_norm=CLIP,
                weight_decay=0.0,
                gradient_checkpointing=bool(task["settings"].get("activation_checkpointing")),
                gradient_checkpointing_kwargs={"use_reentrant": False},
                use_liger_kernel=on_gpu and find_spec("liger_kernel") is not None,
                bf16=task["settings"].get("precision") == "bf16",
                use_cpu=not on_gpu,
                report_to="none",
                logging_steps=10**6,
                save_strategy="no",
                disable_tqdm=True,
                dataloader_num_workers=0,
                model_init_kwargs=model_options,
            ),
            train_dataset=rows,
            eval_dataset=rows,
            processing_class=AutoTokenizer.from_pretrained(task["student"]),
            callbacks=[Told()],
        )
        loss = _trl_loss(trainer) if task.get("initial_loss", True) else None
        trainer.train()


def _documents_in_half() -> str:
    """Our attention's name, for models that hold float32 and compute in bf16 by autocast.

    It is torch's FlashAttention-2 kernel, and finds documents by the bounds that trl's collator gives for
    the flash-attn package; like that one's adapter in transformers it casts what it is given.
    """
    import torch
    from transformers import AttentionInterface

    from valley.train.attention import document_attention

    def attention(module: Any, q: Any, k: Any, v: Any, mask: Any, **more: Any) -> Any:
        if q.dtype == torch.float32 and torch.is_autocast_enabled(q.device.type):
            q, k, v = (each.to(torch.get_autocast_dtype(q.device.type)) for each in (q, k, v))
        return document_attention(module, q, k, v, mask, **more)

    AttentionInterface.register("documents_in_half", attention)
    return "documents_in_half"


def _trl_loss(trainer: Any) -> float:
    """The token mean over all documents, of the trainer's own loss and own packing."""
    import torch

    total = count = 0.0
    trainer.model.eval()
    with torch.no_grad():
        for inputs in trainer.get_eval_dataloader():
            inputs = trainer._prepare_inputs(inputs)
            counted = int((inputs["labels"][:, 1:] != -100).sum())
            total += float(trainer.compute_loss(trainer.model, inputs)) * counted
            count += counted
    return total / count


def _valley_inputs(task: dict[str, Any]) -> tuple[Any, Any, dict[str, Any]]:
    from valley.data.render import Document
    from valley.train.config import TrainConfig

    # All tokens but the first are learnt, as trl does with plain input_ids.
    documents = [Document(tokens, 1) for tokens in task["documents"]]
    config = TrainConfig.model_validate(
        {
            "packing": "epoch",
            "max_tokens": task["row_tokens"],
            "batch_size": task["batch_size"],
            "micro_batch_size": 1,
            "learning_rate": LEARNING_RATE,
            "schedule": "constant",
            "warmup_ratio": 0.0,
            "gradient_clip": CLIP,
            "precision": "fp32",
            "stuck_after_s": None,
            **{k: v for k, v in task["settings"].items() if k != "trl_model"},
        }
    )
    batch_options = {
        "batch_size": config.batch_size,
        "micro_batch_size": 1,
        "row_tokens": config.row_capacity,
    }
    return documents, config, batch_options


def main() -> None:
    """Train as the tasks say; what libraries print goes to stderr."""
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    tasks = [json.loads(Path(path).read_text(encoding="utf-8")) for path in sys.argv[1:]]
    threads = tasks[0].get("threads", 1)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    import torch

    torch.set_num_threads(threads)
    for number, task in enumerate(tasks):
        if number:
            task["started"] = time.time()
        how = {"valley": with_valley, "bare": bare, "trl": with_trl}[task["how"]]
        try:
            how(task, Rounds(task, told))
        except torch.OutOfMemoryError as error:
            print(json.dumps({"failed": str(error)}), file=told, flush=True)
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
    if torch.distributed.is_initialized():  # by valley; DeepSpeed knows no second one
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
