"""Arms: what sets are drawn from. A plan needs no more of a pool, and reads none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from valley.data.selection_config import SelectConfig


@dataclass(frozen=True)
class Arm:
    """What a set is drawn from: a stratum of the pool, and how it is drawn."""

    difficulty: str
    correctness: str
    select: SelectConfig = field(default_factory=SelectConfig)

    @property
    def name(self) -> str:
        """Such as `easy/correct`, with the teacher where there is one."""
        of = f" of teacher {self.select.teacher}" if self.select.teacher else ""
        return f"{self.difficulty}/{self.correctness}{of}"


def arm_of(chosen: dict[str, Any]) -> Arm:
    """The arm of a training's `select`."""
    controls = SelectConfig.model_validate(chosen.get("controls", {}))
    return Arm(chosen["difficulty"], chosen["correctness"], controls)


def too_few(size: int, arm: Arm, held: int, counts: Mapping[str, int], at_most: str = "") -> str:
    """What is said of a size that an arm does not hold."""
    controls = ", ".join(
        name for name in arm.select.of_arm(arm.difficulty, arm.correctness) if name != "teacher"
    )
    after = f" after {controls}" if controls else ""
    listed = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    there = f"; the pool's strata: {at_most}{listed}" if listed else ""
    return (
        f"size {size} is larger than the pool: {at_most}{held} {arm.select.size_in} are {arm.name}"
        f"{after}{there}"
    )
