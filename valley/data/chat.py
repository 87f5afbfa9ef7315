"""The chat: how every student is asked, in training and evaluation alike. Its settings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

PromptName = Literal["plain", "opencodereasoning2"]


class ChatConfig(BaseModel):
    """What stands around a question. All of it is identity, of trainings and of generations."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: PromptName = "plain"
    """`plain` is the statement and one sentence on input, output and the program's block;
    `opencodereasoning2` is the prompt that OpenCodeReasoning-2 was distilled with."""
    system: str | None = None
    """The system message. Null leaves it to the prompt: `opencodereasoning2` has an empty one, and
    `plain` none at all, for which some templates have a default of their own. "" is an empty one."""

    @property
    def system_message(self) -> str | None:
        """The system message, where there is to be one."""
        if self.system is None and self.prompt == "opencodereasoning2":
            return ""
        return self.system

    def semantic(self) -> dict[str, Any]:
        """What a job's identity hashes: what is not the default."""
        return self.model_dump(mode="json", exclude_defaults=True)
