"""The engine: DeepSpeed's, told our settings (`deepspeed_keys.py`), with optimizer and model in it.

With ZeRO-3 a model is loaded straight into the ranks' shares, one parameter at a time,
so that no rank ever holds the whole of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from valley.errors import UserError
from valley.student import load_model
from valley.train.attention import check_windows, implementation
from valley.train.config import TrainConfig
from valley.train.operators import load_cpu_adam


def load_student(start: Path, config: TrainConfig, values: dict[str, Any]) -> Any:
    """The model of a checkpoint, ready to train, with its attention.

    Raises:
        UserError: it cannot be loaded, or trained with these settings.
    """
    from deepspeed.runtime.zero.config import get_zero_config

    with _accepted():
        get_zero_config(values)
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
        UserError: the optimizer is to be offloaded and its operator cannot be compiled, or DeepSpeed
            does not accept a raw key.
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
    with _accepted():
        engine, *_ = deepspeed.initialize(
            model=model, optimizer=optimizer, config=values, dist_init_required=False
        )
    return engine


@contextmanager
def _accepted() -> Iterator[None]:
    """Say which raw keys DeepSpeed does not accept."""
    try:
        yield
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']} (found {fault['input']!r})"
            for fault in error.errors()
        )
        raise UserError(
            f"train.deepspeed: DeepSpeed does not accept {error.title}: {faults}; mend or leave it out"
        ) from error


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
