"""Fragments: which stretch of each parameter a rank holds, with its moments, whatever laid them out so.

DeepSpeed keeps float32 weights and the optimizer's moments in flat tensors: the parameters themselves
without ZeRO, a share of them with it. A fragment says which stretch of a flat tensor is which stretch of
which parameter. So a state that any number of ranks wrote, with any ZeRO stage, can be read by any other
number with any other stage: each rank copies what overlaps with its own fragments, bit by bit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

WEIGHTS = "weights"


@dataclass(frozen=True)
class Fragment:
    """A stretch of a parameter, and where it lies. All numbers count elements."""

    name: str
    """The parameter's."""
    start: int
    """Where the stretch begins in the parameter, flattened."""
    numel: int
    flat: int
    """The flat tensor's number in its rank."""
    offset: int
    """Where the stretch begins in the flat tensor."""

    def overlap(self, other: Fragment) -> tuple[int, int, int]:
        """What two stretches of one parameter share: its begin in this flat tensor and in the other's,
        and its length, which is not above 0 where they share nothing."""
        start = max(self.start, other.start)
        end = min(self.start + self.numel, other.start + other.numel)
        return self.offset + start - self.start, other.offset + start - other.start, end - start


def state_of(engine: Any) -> dict[str, Any]:
    """What this rank has to keep of an engine between two steps: its fragments, and their flat tensors.

    The tensors are the engine's own, and no copies. Without ZeRO every rank holds the same, and the
    first keeps it for all.
    """
    import torch.distributed as dist

    flats, fragments = _layout(engine)
    if _is_replicated(engine) and dist.get_rank() != 0:
        flats, fragments = [], []
    return {
        "fragments": [astuple(fragment) for fragment in fragments],
        "flats": [_with_moments(engine, flat) for flat in flats],
    }


def load_states(engine: Any, states: Sequence[dict[str, Any]]) -> None:
    """Load into a new engine what all ranks of another made with `state_of`. Every rank must call it.

    Raises:
        RuntimeError: the states do not hold all of a parameter, or the engine's own is not in memory.
    """
    there = defaultdict(list)
    for state in states:
        for values in state["fragments"]:
            there[values[0]].append((Fragment(*values), state["flats"]))
    flats, fragments = _layout(engine)
    optimizer = engine.basic_optimizer
    for fragment in fragments:
        flat, missing = flats[fragment.flat], fragment.numel
        target = {WEIGHTS: flat, **_moments(optimizer, flat)}
        for other, sources in there[fragment.name]:
            into, out_of, numel = fragment.overlap(other)
            if numel <= 0:
                continue
            missing -= numel
            for name, source in sources[other.flat]["tensors"].items():
                if name not in target:
                    target[name] = _new_moment(optimizer, flat, name)
                stretch = source.view(-1).narrow(0, out_of, numel)
                target[name].detach().view(-1).narrow(0, into, numel).copy_(stretch)
            _set_step(optimizer, flat, sources[other.flat]["step"])
        if missing:
            raise RuntimeError(f"{fragment.name}: {missing} of its elements are not in the states")
    _catch_up(optimizer, max((flat["step"] for s in states for flat in s["flats"]), default=0))
    _follow_weights(engine)


def _layout(engine: Any) -> tuple[list[torch.Tensor], list[Fragment]]:
    """This rank's flat tensors, as its optimizer steps on them, and the fragments in them.

    Raises:
        RuntimeError: they are not in memory.
    """
    import torch.distributed as dist

    optimizer, fragments = engine.optimizer, []
    named = [(name, p) for name, p in engine.module.named_parameters() if p.requires_grad]
    if engine.zero_optimization_stage() == 3:
        if optimizer.swap_optimizer:
            raise RuntimeError("an optimizer that is offloaded to NVMe cannot be kept")
        flats = optimizer.fp32_partitioned_groups_flat
        for name, p in named:
            flat, offset, share = optimizer.grad_position[optimizer.get_param_id(p)]
            start = share * dist.get_rank()
            # The last ranks' shares are padded, or nothing but padding.
            if (numel := min(share, p.ds_numel - start)) > 0:
                fragments.append(Fragment(name, start, numel, flat, offset))
    elif engine.zero_optimization_stage() > 0:
        flats = [group["params"][0] for group in engine.basic_optimizer.param_groups]
        for name, p in named:
            if (at := p._hp_mapping) is not None:
                here, there = at.lp_fragment_address, at.hp_fragment_address
                fragments.append(
                    Fragment(name, here.start, here.numel, at.param_group_index, there.start)
                )
    else:
        weights = {id(p): master for p, master in _masters(engine)}
        flats = [weights.get(id(p), p) for _, p in named]
        fragments = [
            Fragment(name, 0, p.numel(), index, 0) for index, (name, p) in enumerate(named)
        ]
    return flats, fragments


def _is_replicated(engine: Any) -> bool:
    return bool(engine.zero_optimization_stage() == 0)


def _masters(engine: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Without ZeRO: the parameters in bf16, each with its weights in float32. None in float32."""
    if not engine.bfloat16_enabled():
        return []
    groups = zip(engine.optimizer.fp16_groups, engine.optimizer.fp32_groups, strict=True)
    return [pair for low, high in groups for pair in zip(low, high, strict=True)]


def _moments(optimizer: Any, flat: torch.Tensor) -> dict[str, torch.Tensor]:
    """The optimizer's tensors of a flat tensor; none before its first step."""
    state = optimizer.state.get(flat, {})
    return {name: value for name, value in state.items() if name != "step"}


def _with_moments(engine: Any, flat: torch.Tensor) -> dict[str, Any]:
    tensors = {WEIGHTS: flat, **_moments(engine.basic_optimizer, flat)}
    return {
        "tensors": {name: _alone(tensor.detach()) for name, tensor in tensors.items()},
        "step": int(engine.basic_optimizer.state[flat]["step"]),
    }


def _alone(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, or a copy where it is a part of a larger one: that would be written as a whole."""
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def _new_moment(optimizer: Any, flat: torch.Tensor, name: str) -> torch.Tensor:
    import torch

    moment = torch.zeros_like(flat.detach())
    optimizer.state[flat][name] = moment
    return moment


def _set_step(optimizer: Any, flat: torch.Tensor, step: int) -> None:
    """Say how many steps a flat tensor's moments have seen, as the optimizer itself would."""
    import torch

    if isinstance(optimizer, torch.optim.AdamW):
        group = optimizer.param_groups[0]
        on_device = group.get("fused") or group.get("capturable")
        device = flat.device if on_device else torch.device("cpu")
        optimizer.state[flat]["step"] = torch.tensor(float(step), device=device)
    else:  # DeepSpeed's own, of offloaded optimizers
        optimizer.state[flat]["step"] = step


def _catch_up(optimizer: Any, steps: int) -> None:
    """Let DeepSpeed's own operator, of offloaded optimizers, count up to a step.

    It multiplies its bias corrections from step to step, and computes them anew where steps are left out,
    which rounds otherwise (0.19.8). So it is given all of them, on a number that nobody reads.
    """
    import torch

    if not hasattr(optimizer, "ds_opt_adam"):
        return
    group, numbers = optimizer.param_groups[0], torch.zeros(4, 1)
    for step in range(1, steps + 1):
        optimizer.ds_opt_adam.adam_update(
            optimizer.opt_id,
            step,
            0.0,
            *group["betas"],
            group["eps"],
            0.0,
            group["bias_correction"],
            *numbers,
        )


def _follow_weights(engine: Any) -> None:
    """Bring what the model computes with up to its float32 weights, in all ranks."""
    optimizer = engine.optimizer
    if engine.zero_optimization_stage() == 3:
        optimizer.checkpoint_event_prologue()
        shares = zip(
            optimizer.fp16_partitioned_groups_flat,
            optimizer.fp32_partitioned_groups_flat,
            optimizer.fp16_partitioned_groups,
            strict=True,
        )
        for low, high, parts in shares:
            low.data.copy_(high.data)
            for part, values in zip(parts, optimizer.unflatten(low, parts), strict=True):
                part.data = values.data
        if optimizer.persistent_parameters:
            optimizer.persistent_parameters[0].partition(optimizer.persistent_parameters)
        optimizer.checkpoint_event_epilogue()
    elif engine.zero_optimization_stage() > 0:
        optimizer.update_lp_params()
    else:
        for p, master in _masters(engine):
            p.data.copy_(master.data)
