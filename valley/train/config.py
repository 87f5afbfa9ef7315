"""Settings of the trainer. What changes the trained weights is identity; how it is run is not."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Beta = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, lt=1)]


class TrainConfig(BaseModel):
    """One distillation. Defaults are the paper's, where the paper states them."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # Results are equal to tolerance whatever these are, so they are provenance and not identity.
    EXECUTION_FIELDS: ClassVar[frozenset[str]] = frozenset(
        {
            "zero_stage",
            "micro_batch_size",
            "micro_batch_tokens",
            "layout",
            "attention",
            "activation_checkpointing",
            "kernels",
            "offload",
            "loss_spike",
            "checkpoint_every_s",
            "checkpoint_beside",
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
    """Examples per optimizer step, over all ranks and accumulation steps; rows, with `packing: epoch`."""
    micro_batch_size: int = Field(16, ge=1)
    """Examples (rows, with `packing: epoch`) per rank per forward pass; the accumulation follows from
    it."""
    micro_batch_tokens: int | None = Field(None, ge=8)
    """Tokens per rank per forward pass, in place of `micro_batch_size`: a step's examples are packed into
    rows of at most so many, as few as the ranks can share evenly, so that short examples go together and
    no pass needs more memory than another. A longer example has a row of its own. The step stays the
    same; the number of ranks must divide `batch_size`."""
    packing: Literal["examples", "epoch"] = "examples"
    """What a step holds: a constant number of examples, or of full rows into which each epoch is packed
    anew. Rows waste nothing, but how many examples a step has then depends on their lengths."""
    row_tokens: int | None = Field(None, ge=8)
    """Tokens of a row, with `packing: epoch`; null for `max_tokens`."""
    layout: Literal["auto", "padded", "packed"] = "auto"
    """How a micro-batch's examples lie before the model: each in a row of its own, padded; or one after
    another in one row, unseen by each other. `auto` packs on GPUs, and with `packing: epoch` or
    `micro_batch_tokens`."""
    attention: Literal[
        "auto", "documents", "flash_attention_2", "flash_attention_4", "flex", "sdpa", "eager"
    ] = "auto"
    """What computes attention. `auto`: `flash_attention_2` for packed rows where it is installed, else
    `documents`, valley's own; `sdpa` for padded ones. `sdpa` and `eager` need memory that grows with the
    square of a packed row."""
    loss: Literal["tokens", "sequences"] = "tokens"
    """The mean over the response tokens of a step, or over its examples of their own token means."""
    learning_rate: float = Field(8e-5, gt=0)
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate goes on after the warm-up; all but `constant` end at zero."""
    warmup_ratio: float = Field(0.1, ge=0, lt=1)
    """The fraction of all steps over which the learning rate rises linearly from zero."""
    weight_decay: float = Field(0.0, ge=0)
    adam_betas: tuple[Beta, Beta] = (0.9, 0.999)
    gradient_clip: float | None = Field(1.0, gt=0)
    """Largest gradient norm; null for no clipping."""
    precision: Literal["fp32", "bf16"] = "bf16"
    # Not a Literal: `true` equals 1, and would be taken for it.
    zero_stage: int = Field(0, ge=0, le=3)
    """What ranks share out: 1 the optimizer's state, 2 also gradients, 3 also weights."""
    offload: Literal["none", "cpu"] = "none"
    """Where the optimizer's state lives and steps. `cpu` needs `zero_stage` 1 or more, and DeepSpeed's
    CPU Adam, which a C++ compiler builds once for all jobs of the root."""
    activation_checkpointing: bool | Share = False
    """Compute activations again for the gradient instead of keeping them: about a third more work, and
    memory for one layer instead of all. A number between 0 and 1 does so in that share of the layers."""
    kernels: Literal["auto", "torch", "liger"] = "auto"
    """What computes norms, rotary positions, gated activations and the loss on a GPU. `auto`: Liger's
    kernels, where the package liger-kernel is installed and knows the model; else torch's."""
    deepspeed: dict[str, Any] = {}
    """More keys for DeepSpeed's own configuration, such as `{zero_optimization: {overlap_comm: true}}`.
    One that contradicts another setting is an error."""
    loss_spike: float | None = Field(5.0, gt=0)
    """A loss so much above the median of the 16 steps before ends the training as diverged, as does
    one that is not a number. Null for no limit."""
    checkpoint_every_s: float | None = Field(300, ge=0)
    """Seconds between two checkpoints to resume from: the most work that a sudden death costs. Null or
    0 keeps one only where a signal asks the training to stop."""
    checkpoint_beside: bool = False
    """Write them beside the training, from a copy in the host's memory (12 bytes per parameter, shared
    out among the ranks as the optimizer's state is), instead of letting it wait."""
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

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.packing == "epoch" and self.layout == "padded":
            raise ValueError(
                "packing: epoch makes rows of several examples; layout cannot be padded"
            )
        if self.packing == "examples" and self.row_tokens is not None:
            raise ValueError("row_tokens is of no effect without packing: epoch; leave it out")
        if self.micro_batch_tokens is not None and self.packing == "epoch":
            raise ValueError(
                "micro_batch_tokens is of no effect with packing: epoch, whose rows have row_tokens; leave "
                "it out"
            )
        if self.micro_batch_tokens is not None and self.layout == "padded":
            raise ValueError(
                "micro_batch_tokens packs several examples into a row; layout cannot be padded"
            )
        if self.offload == "cpu" and self.zero_stage == 0:
            raise ValueError("offload: cpu needs zero_stage 1, 2 or 3")
        return self

    @property
    def row_capacity(self) -> int | None:
        """Tokens of the rows that an epoch is packed into; None where steps count examples."""
        return (self.row_tokens or self.max_tokens) if self.packing == "epoch" else None

    def semantic(self) -> dict[str, object]:
        """The fields that a job's identity hashes."""
        values = self.model_dump(mode="json", exclude=set(self.EXECUTION_FIELDS))
        if self.steps is not None:
            del values["epochs"]
        # What was the only way before the setting came; what was trained so stays done.
        for name in ("too_long", "packing", "row_tokens", "loss", "deepspeed"):
            if values[name] == type(self).model_fields[name].default:
                del values[name]
        return values

    def total_steps(self, examples: int) -> int:
        """Optimizer steps for a training set of `examples`, or of rows; the last batch is full.

        Batches run on across epoch borders, so `epochs` passes are `ceil(epochs * examples /
        batch_size)` steps. How many rows an epoch is packed into is known when its tokens are; a plan
        takes each example for a row, so it states the most steps that there can be.
        """
        if self.steps is not None:
            return self.steps
        # Exactly: 1.1 as a float is a little more, and would be a step more.
        return max(1, math.ceil(Fraction(str(self.epochs)) * examples / self.batch_size))
