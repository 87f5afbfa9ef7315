"""The chat: how every student is asked, in training and evaluation alike. Its settings."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

PromptName = Literal["plain", "opencodereasoning2", "livecodebench"]
SYSTEM_MESSAGES: dict[PromptName, str] = {
    "opencodereasoning2": "",
    "livecodebench": (
        "You are an expert Python programmer. You will be given a question (problem specification) "
        "and will generate a correct Python program that matches the specification and passes all "
        "tests."
    ),
}
"""The system messages that belong to prompts, as they were published."""


class ChatConfig(BaseModel):
    """What stands around a question. All of it is identity, of trainings and of generations."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: PromptName = "plain"
    """`plain` is the statement and one sentence on input, output and the program's block;
    `opencodereasoning2` is the prompt that OpenCodeReasoning-2 was distilled with; `livecodebench`
    is what LiveCodeBench asks chat models."""
    system: str | None = None
    """The system message. Null leaves it to the prompt: `opencodereasoning2` has an empty one,
    `livecodebench` its own, and `plain` none at all, for which some templates have a default. "" is
    an empty one."""

    @property
    def system_message(self) -> str | None:
        """The system message, where there is to be one."""
        return SYSTEM_MESSAGES.get(self.prompt) if self.system is None else self.system

    def semantic(self) -> dict[str, Any]:
        """What a job's identity hashes: what is not the default."""
        return self.model_dump(mode="json", exclude_defaults=True)
