"""The engine: DeepSpeed's, made from our settings, with the optimizer and the loaded model in it.

Our settings say what DeepSpeed is told; `train.deepspeed` may add keys that they do not reach, and never
contradict them. With ZeRO-3 a model is loaded straight into the ranks' shares, one parameter at a time,
so that no rank ever holds the whole of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from valley.errors import UserError
from valley.student import load_model
from valley.train.attention import check_windows, implementation
from valley.train.config import TrainConfig
from valley.train.operators import load_cpu_adam

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
NOT_OURS = ("fp16", "amp", "optimizer", "scheduler")
"""Sections that would replace what valley does itself: precision, AdamW and the schedule."""


def deepspeed_config(
    config: TrainConfig, accumulation_steps: int, world_size: int
) -> dict[str, Any]:
    """DeepSpeed's own configuration, from ours.

    Raises:
        UserError: `train.deepspeed` contradicts another setting.
    """
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
        # Said also where it is off: a raw key must not turn it on behind our back.
        "bf16": {"enabled": config.precision == "bf16"},
        # Said also where there is none: DeepSpeed clips at 1.0 when it is not told (0.19).
        "gradient_clipping": config.gradient_clip or 0.0,
    }
    if config.zero_stage == 3:
        values["zero_optimization"]["stage3_gather_16bit_weights_on_model_save"] = True
    if config.offload == "cpu":
        values["zero_optimization"]["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    _add(values, config.deepspeed)
    return values


def load_student(start: Path, config: TrainConfig, values: dict[str, Any]) -> Any:
    """The model of a checkpoint, ready to train, with its attention."""
    attention = implementation(config)
    if config.zero_stage == 3:
        import deepspeed
        from transformers.integrations import HfDeepSpeedConfig

        _compile_nothing()
        # Or it takes itself for the only rank while it partitions.
        backend = deepspeed.get_accelerator().communication_backend_name()
        deepspeed.comm.init_distributed(dist_backend=backend, dist_init_required=False)
        # transformers asks whether it is alive, and then partitions what it loads.
        partitioned = HfDeepSpeedConfig(values)
        model = load_model(start, "fp32", attention)
        del partitioned
    else:
        model = load_model(start, "fp32", attention)
    check_windows(model, attention)
    if config.activation_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


def make_engine(model: Any, config: TrainConfig, values: dict[str, Any]) -> Any:
    """Wrap a model in DeepSpeed's engine. The process group must be initialised.

    Raises:
        UserError: the optimizer is to be offloaded and its operator cannot be compiled.
    """
    import deepspeed
    import torch

    _compile_nothing()
    make_optimizer = _offloaded_adam if config.offload == "cpu" else torch.optim.AdamW
    optimizer = make_optimizer(
        model.parameters(),
        lr=config.learning_rate,
        betas=config.adam_betas,
        weight_decay=config.weight_decay,
    )
    engine, *_ = deepspeed.initialize(
        model=model, optimizer=optimizer, config=values, dist_init_required=False
    )
    return engine


def _compile_nothing() -> None:
    """Without a GPU, DeepSpeed would compile a shared-memory all-reduce; gloo does its work."""
    import deepspeed
    import torch

    if not torch.cuda.is_available():
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def _offloaded_adam(parameters: Iterator[Any], **options: Any) -> Any:
    from deepspeed.ops.adam import DeepSpeedCPUAdam

    load_cpu_adam()
    return DeepSpeedCPUAdam(parameters, adamw_mode=True, **options)


def _add(values: dict[str, Any], more: dict[str, Any], prefix: str = "") -> None:
    """Put raw keys into our configuration, in place."""
    for key, asked in more.items():
        path = f"{prefix}{key}"
        if path in NOT_OURS:
            raise UserError(
                f"train.deepspeed.{path}: valley does this itself; use the settings of `train` "
                "(precision, learning_rate, schedule, …) and leave it out"
            )
        if asked == "auto":
            raise UserError(
                f'train.deepspeed.{path}: "auto" is filled in by the Hugging Face Trainer only; give '
                "a value or leave it out"
            )
        ours = values.get(key)
        if isinstance(ours, dict) and isinstance(asked, dict):
            _add(ours, asked, f"{path}.")
        elif key in values and ours != asked:
            raise UserError(
                f"train.deepspeed.{path} is {asked!r}, and {_setting(path)} makes it {ours!r}; "
                "leave one of the two out"
            )
        else:
            values[key] = asked


def _setting(path: str) -> str:
    for key, name in OURS.items():
        if path == key or path.startswith(f"{key}."):
            return name
    return f"valley, for reasons of its own (deepspeed_config in {Path(__file__).name}),"
