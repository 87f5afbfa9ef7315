"""Students: trained weights as a Hugging Face folder with tokenizer, whole or not there."""

from __future__ import annotations

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valley.disk import lacks_room, sync, sync_folder
from valley.errors import UserError
from valley.train.config import TrainConfig
from valley.train.ranks import from_first

logger = logging.getLogger(__name__)


def save_student(engine: Any, tokenizer: Any, folder: Path, zero_stage: int) -> None:
    """Write weights (safetensors) and tokenizer to `folder`. Every rank must call it.

    The folder appears under its name only when it is complete and on the disk.

    Raises:
        UserError: the disk has no room for it.
    """
    if zero_stage == 3:
        # Each rank holds a slice of the weights; rank 0 gathers them.
        state = engine._zero3_consolidated_16bit_state_dict()
    else:
        state = engine.module.state_dict()
    if engine.global_rank == 0:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        # Tied weights are one tensor under several names, and written once.
        sizes = {tensor.data_ptr(): tensor.nbytes for tensor in state.values()}
        if fault := lacks_room(folder.parent, sum(sizes.values())):
            raise UserError(f"{folder}: the trained student cannot be written: {fault}")
        try:
            engine.module.save_pretrained(partial, state_dict=state)
            tokenizer.save_pretrained(partial)
            sync_folder(partial)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)  # or the room would be missing from then on
            raise
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        sync(folder.parent)


@dataclass(frozen=True)
class KeptStudents:
    """The students that are kept on the way, as `folder/step-<n>`. Every rank must call its methods."""

    engine: Any
    tokenizer: Any
    folder: Path
    config: TrainConfig

    def is_due(self, step: int, steps: int) -> bool:
        """Whether the student is to be kept after a step; the last one's is the training's result."""
        every = self.config.evaluation_every
        return every is not None and 0 < step < steps and step % every == 0

    def begin_after(self, step: int, steps: int) -> None:
        """Forget those of later steps, which are another start's or another training's; and keep the one of
        this step, where the start before was stopped too early to do so."""
        if self.config.evaluation_every is None:
            return
        if self.engine.global_rank == 0:
            for number, path in self._there():
                if number > step:
                    shutil.rmtree(path, ignore_errors=True)
        is_there = from_first((self.folder / f"step-{step}").is_dir())
        if self.is_due(step, steps) and not is_there:
            self.keep(step)

    def keep(self, step: int) -> None:
        """Keep the student as it is after a step, and as many as the config says.

        A disk without room costs this one, which the log tells, and not the training.
        """
        try:
            save_student(
                self.engine, self.tokenizer, self.folder / f"step-{step}", self.config.zero_stage
            )
        except Exception as error:  # quotas and races with other writers are of many kinds
            logger.warning("the student of step %d is not kept: %s", step, error)
        keep = self.config.keep_evaluation
        if self.engine.global_rank == 0 and keep is not None:
            for _, path in self._there()[:-keep]:
                shutil.rmtree(path, ignore_errors=True)

    def _there(self) -> list[tuple[int, Path]]:
        """Those that are there, by step; folders of other names are not ours."""
        named = [(path.name.removeprefix("step-"), path) for path in self.folder.glob("step-*")]
        return sorted((int(number), path) for number, path in named if number.isdigit())
