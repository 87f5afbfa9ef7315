"""DeepSpeed's own configuration: what our settings tell it. Pure.

`train.deepspeed` may add keys that our settings do not reach, and never contradict them: a launch refuses
that before anything is submitted.
"""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from valley.errors import UserError
from valley.train.config import TrainConfig

OURS = {
    "train_micro_batch_size_per_gpu": "train.micro_batch_size",
    "gradient_accumulation_steps": "train.batch_size and train.micro_batch_size",
    "train_batch_size": "train.batch_size",
    "zero_optimization.stage": "train.zero_stage",
    "zero_optimization.offload_optimizer": "train.offload",
    "gradient_clipping": "train.gradient_clip",
    "bf16": "train.precision",
}
"""The setting behind each key that may be contradicted."""
NOT_OURS = ("fp16", "bfloat16", "amp", "torch_autocast", "optimizer", "scheduler")
"""Sections that would replace what valley does itself: precision, AdamW and the schedule."""

SECTIONS = (
    *("activation_checkpointing", "aio", "autotuning", "checkpoint", "comms_logger"),
    *("communication_data_type", "compile", "compression_training", "csv_monitor", "data_types"),
    *("data_efficiency", "disable_allgather", "dump_state", "elasticity", "flops_profiler"),
    *("gradient_predivide_factor", "hybrid_engine", "memory_breakdown", "nebula", "pipeline"),
    *("prescale_gradients", "sparse_gradients", "tensorboard", "tensor_parallel", "wandb"),
    *("wall_clock_breakdown", "zero_optimization"),
)
"""Keys at the top of DeepSpeed's configuration. It passes over those that it does not know."""


def deepspeed_config(
    config: TrainConfig, accumulation_steps: int, world_size: int
) -> dict[str, Any]:
    """DeepSpeed's own configuration, from ours.

    Raises:
        UserError: `train.deepspeed` contradicts another setting.
    """
    values: dict[str, Any] = {
        # Micro-batches are of our making, and of varying size and number, so DeepSpeed's are nominal: it
        # only checks the product, and divides the loss by their number, which the loss is multiplied with.
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": accumulation_steps,
        "train_batch_size": accumulation_steps * world_size,
        "zero_optimization": {"stage": config.zero_stage},
        "zero_allow_untested_optimizer": True,
        # torch's AdamW, which resumes bit by bit and needs no compiler.
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 10**9,
        # Ours needs no clock of DeepSpeed's, which would wait for the GPU after each micro-batch.
        "timers": {"throughput": {"enabled": False}},
        # Said also where it is off: a raw key must not turn it on behind our back.
        "bf16": {"enabled": config.precision == "bf16"},
        # Said also where there is none: DeepSpeed clips at 1.0 when it is not told (0.19).
        "gradient_clipping": config.gradient_clip or 0.0,
    }
    if config.zero_stage == 3:
        values["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] = True
    if config.offload == "cpu":
        values["zero_optimization"]["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    elif _is_said(config.deepspeed, "zero_optimization", "offload_optimizer"):
        values["zero_optimization"]["offload_optimizer"] = {"device": "none"}
    _add(values, config.deepspeed)
    return values


def _is_said(more: dict[str, Any], section: str, key: str) -> bool:
    raw = more.get(section)
    return isinstance(raw, dict) and key in raw


def _add(values: dict[str, Any], more: dict[str, Any], prefix: str = "") -> None:
    """Put raw keys into our configuration, in place."""
    for key, asked in more.items():
        path = f"{prefix}{key}"
        if path in NOT_OURS:
            raise UserError(
                f"train.deepspeed.{path}: valley does this itself; use the settings of `train` "
                "(precision, learning_rate, schedule, …) and leave it out"
            )
        if not prefix and (meant := _misspelt(key, values)):
            raise UserError(f"train.deepspeed.{key}: no key of DeepSpeed's; did you mean {meant}?")
        if asked == "auto":
            raise UserError(
                f'train.deepspeed.{path}: "auto" is filled in by the Hugging Face Trainer only; give '
                "a value or leave it out"
            )
        ours = values.get(key)
        if isinstance(ours, dict) and isinstance(asked, dict):
            _add(ours, asked, f"{path}.")
        elif asked is None and ours == {"device": "none"}:  # null says the same
            continue
        elif key in values and ours != asked:
            raise UserError(
                f"train.deepspeed.{path} is {asked!r}, and {_setting(path)} makes it {ours!r}; "
                "leave one of the two out"
            )
        else:
            values[key] = asked


def _misspelt(key: str, values: dict[str, Any]) -> str:
    """The key that another one nearly is; empty where it is one, or like none."""
    known = {*SECTIONS, *values, *NOT_OURS}
    return "" if key in known else "".join(get_close_matches(key, known, 1, cutoff=0.85))


def _setting(path: str) -> str:
    for key, name in OURS.items():
        if path == key or path.startswith(f"{key}."):
            return name
    return f"valley, for reasons of its own (deepspeed_config in {Path(__file__).name}),"
