"""Keeping: when a training keeps a checkpoint to resume from, and whether it waits for the disk meanwhile.

It waits, or the checkpoint is written beside it (`train.checkpoint_beside`):

1. Between two steps every rank copies its state, which takes a small part of the time that writing takes.
2. A thread writes the copy. The training goes on, and no other checkpoint is begun meanwhile.
3. After each step the ranks add up how many of them have written, along with the loss. When all have, the
   checkpoint is given its name: until then it is as if it had not been begun.

A training that is to stop gives a checkpoint that is being written its name first, and then waits for
that of its last step.
"""

from __future__ import annotations

import math
import threading
import time
from typing import Any

from valley.train.fragments import state_of
from valley.train.resume import Draft, Position, ResumeFolder, random_state


class Keeping:
    """The checkpoints of a training that runs. Entered while it does; every rank must do the same.

    Args:
        kept: where they are; None keeps none.
        every_s: seconds between two; None or 0 keeps only one where the training is to stop.
        beside: whether they are written beside the training.
        step: the step that it goes on from.
    """

    def __init__(
        self, kept: ResumeFolder | None, every_s: float | None, *, beside: bool, step: int
    ) -> None:
        self.kept = kept
        self.every_s = (every_s or math.inf) if kept else math.inf
        self.beside = beside
        self.step = step
        """The last step that is kept."""
        self._draft: Draft | None = None
        self._writing = threading.Thread()
        self._since = time.monotonic()

    def __enter__(self) -> Keeping:
        return self

    def __exit__(self, *_: object) -> None:
        self._wait()

    def due(self) -> bool:
        """Whether it is time for a checkpoint."""
        return self._draft is None and time.monotonic() - self._since >= self.every_s

    def written(self) -> bool:
        """Whether this rank has written its part of one that is not published yet."""
        return self._draft is not None and not self._writing.is_alive()

    def publish(self) -> None:
        """Publish the one that is being written, when it is written."""
        if self._draft is None or self.kept is None:
            return
        self._wait()
        if not self.kept.publish(self._draft):
            self.step = self._draft.marker["position"]["step"]
        self._draft = None

    def begin(self, engine: Any, position: Position) -> None:
        """Keep a checkpoint: wait until it is, or begin to write it beside the training."""
        if not self.beside or self.kept is None:
            self.save(engine, position)
            return
        self._draft = self.kept.begin(engine, position)
        if self._draft.fault:
            self.publish()
        else:
            copy = {**_copy(state_of(engine)), "random": random_state()}
            # A daemon: a disk that hangs must not hold up the end of a process that is ended.
            self._writing = threading.Thread(
                target=self._draft.write, args=(copy,), name="checkpoint", daemon=True
            )
            self._writing.start()
        self._since = time.monotonic()

    def save(self, engine: Any, position: Position) -> str:
        """Keep a checkpoint and wait until it is; why it is not, or empty."""
        if self.kept is None:
            return "no folder was given"
        self.publish()
        if not (fault := self.kept.save(engine, position)):
            self.step = position.step
        self._since = time.monotonic()
        return fault

    def _wait(self) -> None:
        if self._writing.is_alive():  # or was never started: there was no room
            self._writing.join()


def _copy(value: Any) -> Any:
    """A state's copy in the host's memory, which no step changes."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.to("cpu", copy=True)
    if isinstance(value, dict):
        return {name: _copy(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_copy(part) for part in value]
    return value
