"""Resume checkpoints: what a training keeps on its way, to go on from after whatever ends its process.

    <folder>/step-<n>/   engine/ (DeepSpeed's files: weights, optimizer), random-<rank>.pt,
                         checkpoint.json (written last: the position, and every file's size and checksum)

1. Every rank writes its part into `.step-<n>.partial/`, and syncs what it sees there.
2. Rank 0 writes `checkpoint.json`, and gives the folder its name.
3. Only then are older checkpoints removed. So a process that is killed at any moment leaves a whole one.

A restored training is the same to the bit, as long as it has as many ranks and the same ZeRO stage: each
rank's file holds its own share. With others it begins at step 0, and the log says so.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from valley.records import write_json

logger = logging.getLogger(__name__)

CHECKPOINT_SCHEMA = "valley.checkpoint/1"
MARKER = "checkpoint.json"
ENGINE = "engine"
CHUNK_BYTES = 1 << 24

T = TypeVar("T")


@dataclass(frozen=True)
class Position:
    """How far a training is, beside what its engine holds. The batches follow from the step."""

    step: int = 0
    """Optimizer steps that are done."""
    tokens: int = 0
    wall_s: float = 0.0
    loss_first: float | None = None


@dataclass(frozen=True)
class ResumeFolder:
    """The checkpoints of one training. Every rank must call its methods, in the same order."""

    folder: Path
    training: str
    """What names the training, so that another's checkpoint is never taken for its own."""

    def save(self, engine: Any, position: Position) -> bool:
        """Keep the engine's state and the position, then forget older ones.

        Returns:
            Whether it was kept: not where the disk has no room for it, which the log tells.

        Raises:
            OSError, RuntimeError: a rank could not write; what was kept before is still there.
        """
        import torch
        import torch.distributed as dist

        rank, world_size = dist.get_rank(), dist.get_world_size()
        partial = self.folder / f".step-{position.step}.partial"
        room = True
        if rank == 0:
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            room = _has_room(engine, partial)
        if not _from_first(room):
            if rank == 0:
                partial.rmdir()
            return False
        engine.save_checkpoint(str(partial), tag=ENGINE, save_latest=False)
        torch.save(_random_state(), partial / f"random-{rank}.pt")
        dist.barrier()
        files = sorted(path for path in partial.rglob("*") if path.is_file())
        for path in files:  # by every rank, since each node holds back what was written on it
            _sync(path)
        sums = _gathered(
            {
                str(path.relative_to(partial)): _size_and_sum(path)
                for path in files[rank::world_size]
            }
        )
        if rank == 0:
            marker = {
                "schema": CHECKPOINT_SCHEMA,
                "training": self.training,
                "shape": _shape(engine),
                "position": asdict(position),
                "files": sums,
            }
            write_json(partial / MARKER, marker)
            self._publish(partial, position.step)
        dist.barrier()
        return True

    def restore(self, engine: Any) -> Position:
        """Load the newest whole checkpoint into a new engine; where there is none, step 0.

        What is damaged is set aside under another name, and the log tells.
        """
        import torch
        import torch.distributed as dist

        rank = dist.get_rank()
        if rank == 0:
            for partial in self.folder.glob(".step-*.partial"):
                shutil.rmtree(partial, ignore_errors=True)
        for step in _from_first(self._steps()):
            folder = self.folder / f"step-{step}"
            marker = _from_first(_read_marker(folder) if rank == 0 else None)
            fault = f"no valid {MARKER}" if marker is None else _fault(folder, marker)
            if marker is None or fault:
                if rank == 0:
                    _set_aside(folder, fault)
                dist.barrier()
                continue
            if why := self._why_not(marker, engine):
                if rank == 0:
                    logger.warning("%s: %s; the training begins at step 0", folder, why)
                return Position()
            engine.load_checkpoint(str(folder), tag=ENGINE)
            _set_random_state(torch.load(folder / f"random-{rank}.pt", weights_only=True))
            position = Position(**marker["position"])
            if rank == 0:
                logger.info("resumes after step %d, from %s", position.step, folder)
            return position
        return Position()

    def _steps(self) -> list[int]:
        """The steps that have a checkpoint, newest first."""
        names = [path.name.removeprefix("step-") for path in self.folder.glob("step-*")]
        return sorted((int(name) for name in names if name.isdigit()), reverse=True)

    def _publish(self, partial: Path, step: int) -> None:
        _sync(partial)
        whole = self.folder / f"step-{step}"
        shutil.rmtree(whole, ignore_errors=True)
        partial.rename(whole)
        _sync(self.folder)
        for other in self._steps():
            if other != step:
                shutil.rmtree(self.folder / f"step-{other}", ignore_errors=True)

    def _why_not(self, marker: dict[str, Any], engine: Any) -> str:
        """Why a whole checkpoint cannot be loaded here; empty where it can."""
        if marker["training"] != self.training:
            return "it is another training's checkpoint"
        made, here = marker["shape"], _shape(engine)
        if made != here:
            return (
                f"made by {made['world_size']} ranks with ZeRO-{made['zero_stage']}, and this run has "
                f"{here['world_size']} with ZeRO-{here['zero_stage']}"
            )
        return ""


def _shape(engine: Any) -> dict[str, Any]:
    """What must be equal for a rank's files to fit."""
    import torch.distributed as dist

    return {
        "world_size": dist.get_world_size(),
        "zero_stage": engine.zero_optimization_stage(),
        "bf16": bool(engine.bfloat16_enabled()),
    }


def _has_room(engine: Any, folder: Path) -> bool:
    """Whether the disk can take weights and two moments in fp32, and the weights in bf16."""
    count = sum(getattr(p, "ds_numel", p.numel()) for p in engine.module.parameters())
    needed = count * (4 * 3 + 2 * engine.bfloat16_enabled())
    free = shutil.disk_usage(folder).free
    if free < needed:
        logger.warning(
            "%s: no checkpoint, since it needs %.1f GB and the disk has %.1f; make room",
            folder.parent,
            needed / 1e9,
            free / 1e9,
        )
    return free >= needed


def _read_marker(folder: Path) -> dict[str, Any] | None:
    try:
        marker = json.loads((folder / MARKER).read_text(encoding="utf-8"))
        sound = marker["schema"] == CHECKPOINT_SCHEMA
        Position(**marker["position"])
        marker["training"], marker["shape"], marker["files"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return marker if sound else None


def _fault(folder: Path, marker: dict[str, Any]) -> str:
    """What is wrong with a checkpoint's files; empty where they are whole. Ranks share the reading."""
    import torch.distributed as dist

    names = sorted(marker["files"])[dist.get_rank() :: dist.get_world_size()]
    faults = {name: "" for name in names if _size_and_sum(folder / name) != marker["files"][name]}
    damaged = sorted(_gathered(faults))
    return f"{', '.join(damaged)} damaged or missing" if damaged else ""


def _set_aside(folder: Path, fault: str) -> None:
    number = 1
    while (aside := folder.with_name(f"{folder.name}.damaged-{number}")).exists():
        number += 1
    folder.rename(aside)
    logger.warning("%s: %s; set aside as %s, and an earlier one is used", folder, fault, aside.name)


def _size_and_sum(path: Path) -> list[int]:
    """A file's bytes and their CRC-32; empty where it cannot be read."""
    size = checksum = 0
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                size += len(chunk)
                checksum = zlib.crc32(chunk, checksum)
    except OSError:
        return []
    return [size, checksum]


def _sync(path: Path) -> None:
    """Return only when a file's or folder's content is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _random_state() -> dict[str, Any]:
    import torch

    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def _set_random_state(state: dict[str, Any]) -> None:
    import torch

    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])


def _from_first(value: T) -> T:
    """Rank 0's value, in every rank."""
    import torch.distributed as dist

    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def _gathered(part: dict[str, Any]) -> dict[str, Any]:
    """The union of all ranks' dictionaries, in every rank."""
    import torch.distributed as dist

    parts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, part)
    return {key: value for each in parts for key, value in each.items()}
