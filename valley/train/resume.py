"""Resume checkpoints: what a training keeps on its way, to go on from after whatever ends its process.

    <folder>/step-<n>/   state-<rank>.pt (the rank's weights, moments and random state),
                         checkpoint.json (written last: the position, and every file's size and checksum)

1. Every rank writes its part into `.step-<n>.partial/`, and syncs it.
2. Rank 0 writes `checkpoint.json`, and gives the folder its name.
3. Only then are older checkpoints removed. So a process that is killed at any moment leaves a whole one.

A restored training is the same to the bit with as many ranks and the same ZeRO stage. With others each
rank takes the stretches of all files that are now its own (fragments.py); sums over the ranks are then
rounded elsewhere, so losses are equal to tolerance.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from valley.disk import lacks_room, set_aside, size_and_sum, sync
from valley.records import write_json
from valley.train.fragments import load_states, state_of
from valley.train.ranks import from_first, of_all

logger = logging.getLogger(__name__)

CHECKPOINT_SCHEMA = "valley.checkpoint/2"
MARKER = "checkpoint.json"
BYTES_PER_PARAMETER = 12
"""Weights and two moments in fp32."""


@dataclass(frozen=True)
class Position:
    """How far a training is, beside what its engine holds. The batches follow from the step."""

    step: int = 0
    """Optimizer steps that are done."""
    tokens: int = 0
    wall_s: float = 0.0
    loss_first: float | None = None
    losses: Sequence[float] = ()
    """The last ones, that the next is held against; checkpoints of earlier versions have none."""


@dataclass
class Draft:
    """A checkpoint in the making, as one rank sees it."""

    partial: Path
    rank: int
    marker: dict[str, Any]
    """What is told beside the files."""
    fault: str
    """Why it cannot be kept; empty as long as it can."""
    sums: dict[str, list[int]] = field(default_factory=dict)
    """The bytes and checksums of what this rank has written."""

    def write(self, state: dict[str, Any]) -> None:
        """Write this rank's part, and return when it is on the disk, or tell why it is not."""
        import torch

        path = self.partial / f"state-{self.rank}.pt"
        # What a thread is broken off by, such as a lack of memory, is told by its traceback alone.
        self.fault = f"rank {self.rank}: its part could not be written, see its log"
        try:
            torch.save(state, path)
            sync(path)
            self.sums[path.name] = size_and_sum(path)
            self.fault = ""
        except (OSError, RuntimeError) as error:  # torch.save raises the latter on a full disk
            self.fault = f"rank {self.rank}: {error}"


@dataclass(frozen=True)
class ResumeFolder:
    """The checkpoints of one training. Every rank must call its methods, in the same order."""

    folder: Path
    training: str
    """What names the training, so that another's checkpoint is never taken for its own."""
    keep: int = 1
    """How many stay; the newest whole one counts."""
    student: str = ""
    """What names the checkpoint that the training began with."""

    def save(self, engine: Any, position: Position) -> str:
        """Keep the engine's state and the position, then forget older ones.

        Returns:
            Why it was not kept, where the disk has no room for it, or a rank could not write; the log
            tells that too. What was kept before is then still there. Empty where it was kept.
        """
        draft = self.begin(engine, position)
        if not draft.fault:
            draft.write({**state_of(engine), "random": random_state()})
        return self.publish(draft)

    def begin(self, engine: Any, position: Position) -> Draft:
        """Make room for a checkpoint, which each rank then writes its part of."""
        import torch.distributed as dist

        partial = self.folder / f".step-{position.step}.partial"
        fault = ""
        if dist.get_rank() == 0:
            shutil.rmtree(partial, ignore_errors=True)
            fault = _begun(engine, partial)
        marker = {
            "schema": CHECKPOINT_SCHEMA,
            "training": self.training,
            "student": self.student,
            "shape": _shape(engine),
            "position": asdict(position),
        }
        return Draft(partial, dist.get_rank(), marker, from_first(fault))

    def publish(self, draft: Draft) -> str:
        """Give what every rank has written its name, then forget older ones; see `save`."""
        import torch.distributed as dist

        parts = of_all((draft.sums, draft.fault))
        fault = next((said for _, said in parts if said), "")
        if dist.get_rank() == 0:
            files = {name: value for each, _ in parts for name, value in each.items()}
            if fault := fault or self._published(draft.partial, {**draft.marker, "files": files}):
                shutil.rmtree(draft.partial, ignore_errors=True)
                at = f"no checkpoint of step {draft.marker['position']['step']}"
                logger.warning("%s: %s: %s", self.folder, at, fault)
        return from_first(fault)

    def restore(self, engine: Any) -> Position:
        """Load the newest whole checkpoint into a new engine; where there is none, step 0.

        What is damaged is set aside under another name, and the log tells.
        """
        import torch.distributed as dist

        rank = dist.get_rank()
        if rank == 0:
            for partial in self.folder.glob(".step-*.partial"):
                shutil.rmtree(partial, ignore_errors=True)
        for step in from_first(self._steps()):
            folder = self.folder / f"step-{step}"
            marker = from_first(_read_marker(folder) if rank == 0 else None)
            fault = f"no valid {MARKER}" if marker is None else ""
            if marker is not None:
                if why := self._why_not(marker):
                    if rank == 0:
                        logger.warning("%s: %s; the training begins at step 0", folder, why)
                    return Position()
                fault = _fault(folder, marker)
            if marker is None or fault:
                if rank == 0:
                    aside = set_aside(folder).name
                    logger.warning(
                        "%s: %s; set aside as %s, and an earlier one is used", folder, fault, aside
                    )
                dist.barrier()
                continue
            _load(engine, folder, marker)
            position = Position(**marker["position"])
            if rank == 0:
                logger.info("resumes after step %d, from %s", position.step, folder)
            return position
        return Position()

    def _steps(self) -> list[int]:
        """The steps that have a checkpoint, newest first."""
        names = [path.name.removeprefix("step-") for path in self.folder.glob("step-*")]
        return sorted((int(name) for name in names if name.isdigit()), reverse=True)

    def _published(self, partial: Path, marker: dict[str, Any]) -> str:
        """Give a complete folder its name, and forget older ones; what was wrong, if anything was."""
        step = marker["position"]["step"]
        whole = self.folder / f"step-{step}"
        try:
            write_json(partial / MARKER, marker)
            sync(partial)
            shutil.rmtree(whole, ignore_errors=True)
            partial.rename(whole)
            sync(self.folder)
        except OSError as error:
            return str(error)
        # One of a later step is another training's, or this one would have resumed from it.
        later = [other for other in self._steps() if other > step]
        earlier = [other for other in self._steps() if other < step]
        for other in later + earlier[self.keep - 1 :]:
            shutil.rmtree(self.folder / f"step-{other}", ignore_errors=True)
        return ""

    def _why_not(self, marker: dict[str, Any]) -> str:
        """Why a checkpoint cannot be loaded here; empty where it can."""
        if marker["schema"] != CHECKPOINT_SCHEMA:
            return f"it is a {marker['schema']}, and this version reads {CHECKPOINT_SCHEMA}"
        if marker["training"] != self.training:
            return "it is another training's checkpoint"
        # Earlier versions did not say.
        if marker.get("student", self.student) != self.student:
            return "it is of a training that began with another student"
        return ""


def _shape(engine: Any) -> dict[str, Any]:
    """What must be equal for a training to go on to the bit."""
    import torch.distributed as dist

    return {"world_size": dist.get_world_size(), "zero_stage": engine.zero_optimization_stage()}


def _begun(engine: Any, partial: Path) -> str:
    """Make the folder that all ranks write to, if the disk has room; what is wrong, if anything is."""
    count = sum(getattr(p, "ds_numel", p.numel()) for p in engine.module.parameters())
    try:
        partial.mkdir(parents=True)
        fault = lacks_room(partial.parent, count * BYTES_PER_PARAMETER)
    except OSError as error:
        return str(error)
    return fault


def _load(engine: Any, folder: Path, marker: dict[str, Any]) -> None:
    """Load a whole checkpoint, of any number of ranks and any ZeRO stage, into a new engine."""
    import torch
    import torch.distributed as dist

    made, here, rank = marker["shape"], _shape(engine), dist.get_rank()
    if made != here and rank == 0:
        logger.info(
            "%s: made by %d ranks with ZeRO-%d; laid out anew for %d with ZeRO-%d",
            folder,
            made["world_size"],
            made["zero_stage"],
            here["world_size"],
            here["zero_stage"],
        )
    # Mapped, so that a rank reads no more than the stretches that it takes.
    states = [
        torch.load(folder / f"state-{n}.pt", map_location="cpu", mmap=True, weights_only=True)
        for n in range(made["world_size"])
    ]
    load_states(engine, states)
    if rank < len(states):
        _set_random_state(states[rank]["random"])


def _read_marker(folder: Path) -> dict[str, Any] | None:
    try:
        marker: dict[str, Any] = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        Position(**marker["position"])
        marker["training"], marker["shape"], marker["files"].items()
        known = str(marker["schema"]).startswith("valley.checkpoint/")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return marker if known else None


def _fault(folder: Path, marker: dict[str, Any]) -> str:
    """What is wrong with a checkpoint's files; empty where they are whole. Ranks share the reading."""
    import torch.distributed as dist

    names = sorted(marker["files"])[dist.get_rank() :: dist.get_world_size()]
    faults = [name for name in names if size_and_sum(folder / name) != marker["files"][name]]
    damaged = sorted(name for each in of_all(faults) for name in each)
    return f"{', '.join(damaged)} damaged or missing" if damaged else ""


def random_state() -> dict[str, Any]:
    """What this rank's random numbers follow from."""
    import torch

    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _set_random_state(state: dict[str, Any]) -> None:
    import torch

    # Copies: what is mapped ends with its file.
    torch.set_rng_state(state["cpu"].clone())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].clone())
