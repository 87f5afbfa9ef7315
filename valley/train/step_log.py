"""The steps' log: a JSON line per optimizer step, and the same for TensorBoard where it is installed.

A training that resumes goes on behind its step.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from valley.records import write_text
from valley.train.throughput import Throughput

logger = logging.getLogger(__name__)

STEP_SCHEMA = "valley.step/1"
TENSORBOARD = "tensorboard"
"""The folder of TensorBoard's files, beside the log."""
COMPUTED = ("schema", "step", "loss", "learning_rate", "gradient_norm", "tokens", "documents")
"""What a line tells of the training itself; the rest is of the machine, and another one each time."""


class StepLog:
    """A log that is open. Where there is no path, as in all ranks but the first, nothing is written.

    A disk that takes nothing does not end a training: lines wait until there is room.
    """

    def __init__(
        self, path: Path | None, begin: int, report: Callable[..., None] = lambda **_: None
    ) -> None:
        self.path = path
        self.begin = begin
        self.report = report
        self.reported_s = 0.0
        self.board: Any = None
        """TensorBoard's writer, if there is one; what it could not write it never does."""
        self._waiting = b""
        self._is_told = False

    def __enter__(self) -> StepLog:
        if self.path is not None:
            write_text(self.path, "".join(_first_lines(self.path, self.begin)))
        # Unbuffered: what could not be written stays with us.
        self.file = (self.path or Path(os.devnull)).open("ab", buffering=0)
        with self._borne():
            self.board = _board(self.path, self.begin)
        return self

    def __exit__(self, *_: object) -> None:
        self._write()
        self.file.close()
        if self.board is not None:
            with self._borne():
                self.board.close()

    def add(
        self, step: int, steps: int, loss: float, rate: float, norm: float, throughput: Throughput
    ) -> None:
        """Write a step's line, and report it every second or so."""
        if self.path is None:
            return
        line = {
            "schema": STEP_SCHEMA,
            "step": step,
            "loss": loss,
            "learning_rate": rate,
            "gradient_norm": norm,
            "tokens_per_s": round(throughput.tokens_per_s, 1),
            **throughput.step,
        }
        if self.board is not None:
            with self._borne():
                for name, value in line.items():
                    if isinstance(value, int | float) and name != "step":
                        self.board.add_scalar(name, value, step)
        self._waiting += json.dumps(line).encode() + b"\n"
        if throughput.wall_s - self.reported_s > 1:
            self.reported_s = throughput.wall_s
            self._write()
            self.report(step=step, steps=steps, loss=round(loss, 4))

    def sync(self) -> None:
        """Return only when the lines so far are on the disk, if it takes them."""
        self._write()
        if self.path is not None:
            with self._borne():
                os.fsync(self.file.fileno())

    def _write(self) -> None:
        with self._borne():
            while self._waiting:
                self._waiting = self._waiting[self.file.write(self._waiting) :]

    @contextmanager
    def _borne(self) -> Iterator[None]:
        """Go on where the disk takes nothing, and tell so once."""
        try:
            yield
        except OSError as error:
            if not self._is_told:
                logger.warning("%s: %s; its lines wait for room", self.path, error)
            self._is_told = True


def _board(path: Path | None, begin: int) -> Any:
    """TensorBoard's writer; None where there is no log or no TensorBoard."""
    if path is None or importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    # Steps behind the one it resumes after are hidden, as they are cut from the log.
    return SummaryWriter(str(path.parent / TENSORBOARD), purge_step=begin + 1)


def _first_lines(path: Path, steps: int) -> list[str]:
    """The whole lines of the first steps: what a killed process wrote behind its checkpoint is cut."""
    if not steps or not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    return [line for line in lines[:steps] if line.endswith("\n")]
