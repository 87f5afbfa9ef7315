"""Decoding profiles: how a student is asked, by name."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from valley.data.chat import ChatConfig, PromptName
from valley.data.held_out_config import HeldOutConfig

NAMED: dict[str, dict[str, Any]] = {
    "greedy": {},
    "paper": {"samples": 16, "temperature": 0.6, "top_p": 0.95},
    "direct": {"prefill": "```python\n"},
    "think": {"prefill": "<think>\n"},
}
"""What a profile of such a name starts from; what the grid says goes before."""
BackendName = Literal["transformers", "vllm"]
DECIDING_SAMPLES = 2
"""Fewest samples of each problem by which an interval ends sampling. With one, its width depends on the
score alone, and is the largest at ½: stopping would pick the scores that happen to lie away from there, and
intervals cover .92 to .94 (docs/statistics.md)."""


class Profile(BaseModel):
    """One way to decode. Every field is part of a generate job's identity, but for `rounds` and
    `until_interval`: they say how many samples are drawn at a time, and when no more are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    samples: int = Field(1, ge=1)
    """Samples per problem; where they are drawn in rounds, of all rounds together."""
    rounds: int = Field(1, ge=1)
    """In how many equal parts the samples are drawn and graded, one after another: a round begins when
    every cell of the sweep has the one before."""
    until_interval: float | None = Field(None, gt=0, lt=1)
    """No further round is drawn once the 95 % interval of every cell's pass@1 is so wide or narrower,
    from its low end to its high end (docs/generation.md), and each problem has two samples or more. Null
    draws all rounds. Simulated coverage of the intervals where sampling stops so: .94 to .96, but of scores
    as low as .02 on 279 problems .92 to .94, where it is .93 to .94 with all rounds (docs/statistics.md)."""
    temperature: float = Field(0.0, ge=0)
    """0 is greedy."""
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(32768, ge=1)
    """Longest answer; an answer cut here is counted as not completed."""
    prefill: str = ""
    """Text the answer is made to begin with: "<think>\\n" forces a thought open, the opening fence
    of a program asks for a direct answer without one."""
    sampling_seed: int = 0
    prompt: PromptName | None = None
    """How this profile words its questions, with that prompt's own system message; null is as the
    section `chat` says, which is how the student was taught. So a cell may carry both."""

    def semantic(self) -> dict[str, Any]:
        """What a job's identity hashes: all of it, but for later settings that are not set.

        Of a profile in rounds this is the whole; `up_to` has what a round's own jobs hash.
        """
        unset = {"rounds", "until_interval"} | ({"prompt"} if self.prompt is None else set())
        return self.model_dump(mode="json", exclude=unset)

    @property
    def samples_a_round(self) -> int:
        """Samples per problem that each round adds."""
        return self.samples // self.rounds

    def up_to(self, number: int) -> Profile:
        """This profile as if its first `number` rounds were all of it."""
        pinned = {
            "samples": self.samples_a_round * number,
            "rounds": number,
            "until_interval": None,
        }
        return self.model_copy(update=pinned)

    @model_validator(mode="after")
    def _rounds_are_equal(self) -> Profile:
        if self.samples % self.rounds:
            raise ValueError(
                f"{self.samples} samples in {self.rounds} rounds, which are not equal; let samples be a "
                "multiple of rounds"
            )
        if self.until_interval is not None and self.rounds == 1:
            raise ValueError(
                f"until_interval {self.until_interval:g} with one round, after which there is nothing to "
                "stop; set rounds to 2 or more, such as 4"
            )
        before_last = self.samples - self.samples_a_round
        if self.until_interval is not None and before_last < DECIDING_SAMPLES:
            raise ValueError(
                f"until_interval {self.until_interval:g} with {self.samples} samples in {self.rounds} rounds: "
                f"an interval decides from {DECIDING_SAMPLES} samples of each problem on, and then there is "
                f"nothing to stop; set samples to {2 * self.rounds} or more"
            )
        return self

    def chat(self, taught: ChatConfig) -> ChatConfig:
        """How questions are asked, of a student that was taught by `taught`."""
        return taught if self.prompt is None else ChatConfig(prompt=self.prompt)


class GenerateConfig(BaseModel):
    """What every cell of a sweep is asked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    profiles: dict[str, Profile] = Field(
        default_factory=lambda: {"greedy": Profile()}, min_length=1
    )
    """The first is the one that verdicts are drawn from, unless the plot is told otherwise. Those
    named `greedy`, `paper` (16 samples, temperature 0.6, top-p 0.95), `direct` (the answer begun as a
    program) and `think` (a thought begun) start from what their names say: `paper: {}` is enough."""
    backend: BackendName = "transformers"
    """What decodes. `vllm` must be installed in the interpreter that `resources.generate.python`
    names (docs/generation.md). Identity, since sampled answers are others: no cell of a sweep mixes
    them, unless this is an axis."""
    batch_size: int = Field(64, ge=1)
    """Sequences decoded at once, with vLLM at most. Identity, since float32 sums depend on the
    batch's shape."""
    precision: Literal["fp32", "bf16"] = "bf16"
    """What the weights are held and computed in, on any hardware: identity, as the training's own
    `precision` is. A CPU is slow in bf16; a grid for CPUs says fp32."""
    held_out: HeldOutConfig | None = None
    """Where set, every checkpoint's likelihood of traces that no training set holds is measured too,
    beside the answers of the first profile (docs/generation.md); those are made anew then."""

    def semantic(self, profile: Profile) -> dict[str, Any]:
        """What the identity hashes of a generation under one of the profiles, beside the chat."""
        values = {
            "profile": profile.semantic(),
            "batch_size": self.batch_size,
            "precision": self.precision,
        }
        if self.backend != "transformers":
            values["backend"] = self.backend
        return values

    @field_validator("profiles", mode="before")
    @classmethod
    def _start_from_names(cls, profiles: Any) -> Any:
        if not isinstance(profiles, dict):
            return profiles
        return {
            name: {**NAMED.get(name, {}), **given} if isinstance(given, dict) else given
            for name, given in profiles.items()
        }
