"""Students: trained weights as a Hugging Face folder with tokenizer, whole or not there."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

from valley.disk import lacks_room, sync, sync_folder
from valley.errors import UserError
from valley.train.config import TrainConfig

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
        engine.module.save_pretrained(partial, state_dict=state)
        tokenizer.save_pretrained(partial)
        sync_folder(partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
        sync(folder.parent)


def keep_student(engine: Any, tokenizer: Any, folder: Path, step: int, config: TrainConfig) -> None:
    """Keep the student as it is after a step, as `folder/step-<n>`, and as many as the config says.

    A disk without room costs this one, which the log tells, and not the training.
    """
    keep = config.keep_evaluation
    try:
        save_student(engine, tokenizer, folder / f"step-{step}", config.zero_stage)
    except Exception as error:  # quotas and races with other writers are of many kinds
        logger.warning("the student of step %d is not kept: %s", step, error)
        shutil.rmtree(folder / f".step-{step}.partial", ignore_errors=True)
    if engine.global_rank == 0 and keep is not None:
        kept = sorted(folder.glob("step-*"), key=lambda path: int(path.name[5:]))
        for old in kept[:-keep]:
            shutil.rmtree(old, ignore_errors=True)
