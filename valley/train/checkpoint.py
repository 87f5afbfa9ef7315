"""Checkpoints: a trained student as a Hugging Face folder, whole or not there."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any


def save_student(engine: Any, tokenizer: Any, folder: Path, zero_stage: int) -> None:
    """Write weights (safetensors) and tokenizer to `folder`. Every rank must call it.

    The folder appears under its name only when it is complete.
    """
    if zero_stage == 3:
        # Each rank holds a slice of the weights; rank 0 gathers them.
        state = engine._zero3_consolidated_16bit_state_dict()
    else:
        state = engine.module.state_dict()
    if engine.global_rank == 0:
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        engine.module.save_pretrained(partial, state_dict=state)
        tokenizer.save_pretrained(partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
