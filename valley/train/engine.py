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
from valley.train.kernels import use_liger, uses_liger
from valley.train.operators import load_cpu_adam


def load_student(start: Path, config: TrainConfig, values: dict[str, Any]) -> Any:
    """The model of a checkpoint, ready to train, with its attention.

    Raises:
        UserError: it cannot be loaded, or trained with these settings.
    """
    from deepspeed.runtime.zero.config import get_zero_config

    with _accepted(config):
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
        try:
            model = load_model(start, "fp32", attention)
        except UserError as error:
            if not config.deepspeed:
                raise
            raise UserError(
                f"{error}; or DeepSpeed cannot do what train.deepspeed says: {config.deepspeed}"
            ) from error
        del partitioned
    else:
        model = load_model(start, "fp32", attention)
    check_windows(model, attention)
    if uses_liger(config, model.config.model_type):
        use_liger(model)
    if config.activation_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        _recompute_in(model, float(config.activation_checkpointing))
    return model.train()


def _recompute_in(model: Any, share: float) -> None:
    """Let only a share of the layers compute their activations again, evenly spread."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers = [each for each in model.modules() if isinstance(each, GradientCheckpointingLayer)]
    for index, layer in enumerate(layers):
        # The whole part of `share * index` grows by one at each layer that recomputes.
        layer.gradient_checkpointing = int(share * (index + 1)) > int(share * index)


def make_engine(model: Any, config: TrainConfig, values: dict[str, Any]) -> Any:
    """Wrap a model in DeepSpeed's engine. The process group must be initialised.

    Raises:
        UserError: the optimizer is to be offloaded and its operator cannot be compiled, or DeepSpeed
            does not accept a raw key.
    """
    import deepspeed

    _compile_nothing()
    make_optimizer = _offloaded_adam if config.offload == "cpu" else _adam
    optimizer = make_optimizer(
        model.parameters(),
        lr=0.0,  # until a step says what it is, since DeepSpeed may take one of its own
        betas=config.adam_betas,
        weight_decay=config.weight_decay,
    )
    with _accepted(config):
        engine, *_ = deepspeed.initialize(
            model=model, optimizer=optimizer, config=values, dist_init_required=False
        )
    _forget_steps(engine.basic_optimizer)
    return engine


def _forget_steps(optimizer: Any) -> None:
    """Let the next step be the first one.

    In bf16 without ZeRO, DeepSpeed makes the moments by a step on gradients of zero, which counts: the first
    real one would be corrected as if it were the second, and be a quarter too small (0.19.8).
    """
    for state in optimizer.state.values():
        if hasattr(state["step"], "zero_"):
            state["step"].zero_()
        else:  # DeepSpeed's own
            state["step"] = 0


@contextmanager
def _accepted(config: TrainConfig) -> Iterator[None]:
    """Say which raw keys DeepSpeed does not accept, or that it fails with them."""
    try:
        yield
    except UserError:
        raise
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg']} (found {fault['input']!r})"
            for fault in error.errors()
        )
        raise UserError(
            f"train.deepspeed: DeepSpeed does not accept {error.title}: {faults}; mend or leave it out"
        ) from error
    except NotImplementedError as error:
        raise UserError(
            f"train.deepspeed, zero_stage and precision do not go together: DeepSpeed says {error}; change "
            "one of them"
        ) from error
    except Exception as error:  # of many kinds, its asserts among them
        # What memory, disk and other ranks lack is no matter of keys.
        if not config.deepspeed or isinstance(error, RuntimeError | OSError | MemoryError):
            raise
        said = f"{type(error).__name__}: {error}".strip(": ")
        raise UserError(
            f"train.deepspeed: DeepSpeed fails with {config.deepspeed} at zero_stage {config.zero_stage} "
            f"({said}); mend it or leave it out"
        ) from error


def _compile_nothing() -> None:
    """Without a GPU, DeepSpeed would compile a shared-memory all-reduce; gloo does its work."""
    import deepspeed
    import torch

    if not torch.cuda.is_available():
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False


def _adam(parameters: Iterator[Any], **options: Any) -> Any:
    import torch

    # On a GPU in one kernel: step by step it needs another copy of the weights, and their time.
    return torch.optim.AdamW(parameters, fused=torch.cuda.is_available(), **options)


def _offloaded_adam(parameters: Iterator[Any], **options: Any) -> Any:
    from deepspeed.ops.adam import DeepSpeedCPUAdam

    load_cpu_adam()
    return DeepSpeedCPUAdam(parameters, adamw_mode=True, **options)
