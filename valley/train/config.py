"""Settings of the trainer. What changes the trained weights is identity; how it is run is not."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field


class TrainConfig(BaseModel):
    """One distillation. Defaults are the paper's, where the paper states them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # Results are equal to tolerance whatever these are, so they are provenance and not identity.
    EXECUTION_FIELDS: ClassVar[frozenset[str]] = frozenset(
        {
            "zero_stage",
            "micro_batch_size",
            "checkpoint_every_s",
            "keep_resume",
            "evaluation_every",
            "keep_evaluation",
            "stuck_after_s",
        }
    )

    epochs: float = Field(5, gt=0)
    """Passes over the training set; ignored where `steps` is set."""
    steps: int | None = Field(None, ge=1)
    """Optimizer steps; where set, it decides the length of the training instead of `epochs`."""
    batch_size: int = Field(128, ge=1)
    """Examples per optimizer step, over all ranks and accumulation steps."""
    micro_batch_size: int = Field(16, ge=1)
    """Examples per rank per forward pass; the accumulation follows from it."""
    learning_rate: float = Field(8e-5, gt=0)
    schedule: Literal["cosine", "linear"] = "cosine"
    warmup_ratio: float = Field(0.1, ge=0, lt=1)
    """The fraction of all steps over which the learning rate rises linearly from zero."""
    weight_decay: float = Field(0.0, ge=0)
    adam_betas: tuple[float, float] = (0.9, 0.999)
    gradient_clip: float | None = Field(1.0, gt=0)
    """Largest gradient norm; null for no clipping."""
    precision: Literal["fp32", "bf16"] = "bf16"
    # Not a Literal: `true` equals 1, and would be taken for it.
    zero_stage: int = Field(0, ge=0, le=3)
    checkpoint_every_s: float | None = Field(300, ge=0)
    """Seconds between two checkpoints to resume from: the most work that a sudden death costs. Null or
    0 keeps one only where a signal asks the training to stop."""
    keep_resume: int = Field(1, ge=1)
    """Checkpoints to resume from that stay, the newest. More than one is for disks that lose what they
    have said to be written; all go when the training is done."""
    evaluation_every: int | None = Field(None, ge=1)
    """Optimizer steps between two students that are kept on the way, as Hugging Face folders with
    tokenizer, in `checkpoints/step-<n>` of the job's folder. Null keeps none but the last, `model`."""
    keep_evaluation: int | None = Field(None, ge=1)
    """Of those, how many stay, the newest; null keeps all."""
    stuck_after_s: float | None = Field(1800, gt=0)
    """Seconds without a step after which a training is ended as stuck, with every rank's stack in its
    log: longer than a step or a checkpoint takes; the first step is given five minutes at least. Null
    waits for the time limit."""
    max_tokens: int = Field(32768, ge=8)
    """Longest example, prompt included. What becomes of longer ones, `too_long` says; they are counted
    and never cut: a cut trace would teach not to finish."""
    too_long: Literal["drop", "keep", "error"] = "drop"
    """Leave examples of more than `max_tokens` out, train on all of them, or refuse to train."""

    def semantic(self) -> dict[str, object]:
        """The fields that a job's identity hashes."""
        values = self.model_dump(mode="json", exclude=set(self.EXECUTION_FIELDS))
        if self.steps is not None:
            del values["epochs"]
        if self.too_long == "drop":
            # The only way there was before the setting; what was trained so stays done.
            del values["too_long"]
        return values

    def total_steps(self, examples: int) -> int:
        """Optimizer steps for a training set of `examples`; the last batch of an epoch is full.

        Batches run on across epoch borders, so `epochs` passes are `ceil(epochs * examples /
        batch_size)` steps.
        """
        if self.steps is not None:
            return self.steps
        return max(1, -int(-self.epochs * examples // self.batch_size))
