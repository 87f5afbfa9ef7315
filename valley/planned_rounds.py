"""Rounds as they are planned: of each decoding profile, the generations that its samples are drawn by. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from valley.evaluate.profiles import GenerateConfig
from valley.job_table import Settings
from valley.preparations import safe


@dataclass(frozen=True, slots=True)
class PlannedRound:
    """A decoding profile up to one of its rounds, and the settings of the generations that it makes.

    A profile that is not drawn in rounds has one.
    """

    profile: str
    name: str
    """Of the profile and the round."""
    slot: str
    """The name, for a folder."""
    is_last: bool
    """Of those that are planned."""
    samples: int
    """Per problem, that this round adds."""
    settings: Settings
    shards: tuple[Settings, ...]
    """Those of its parts, where elements share a generation."""


def planned_rounds(
    config: GenerateConfig, chat: dict[str, Any], shards: int, drawn: Mapping[str, int]
) -> list[PlannedRound]:
    """The rounds of all profiles that are planned, each profile's in their order.

    Args:
        chat: what a generation's settings hold of the chat.
        shards: how many elements share a generation.
        drawn: how many rounds are planned of each profile that has several; 1 where it is not named.
    """
    rounds = []
    for name, profile in config.profiles.items():
        last = drawn.get(name, 1)
        for number in range(1, last + 1):
            value = {**config.semantic(profile.up_to(number)), **chat}
            parts = [Settings({**value, "shard": [i, shards]}) for i in range(shards) if shards > 1]
            # The first round is what the same profile without rounds would be.
            called = name if number == 1 else f"{name}-round{number}"
            rounds.append(
                PlannedRound(
                    name,
                    called,
                    safe(called),
                    number == last,
                    profile.samples_a_round,
                    Settings(value),
                    tuple(parts),
                )
            )
    return rounds
