"""Where and how jobs run: resources per kind, and what a site needs. None of it changes a result."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

FOLLOWED = {"generate": ("prepare", "train"), "grade": ("generate",)}
"""The kinds whose jobs each kind's may follow one to one."""


class Resources(BaseModel):
    """What one array element of a kind asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nodes: int = Field(1, ge=1)
    tasks_per_node: int = Field(1, ge=1)
    """Ranks per node: one per GPU, or on CPU as many as wanted."""
    cpus_per_task: int = Field(1, ge=1)
    gpus_per_node: int = Field(0, ge=0)
    memory_gib: float | None = Field(None, gt=0)
    """Memory per node. Null leaves it to the site's default; on one machine it then counts as none."""
    time_limit_min: int = Field(60, ge=1)
    pack: int = Field(1, ge=1)
    """Most jobs that share one array element, so that small ones do not pay a start-up each.

    A generation shares as its training (or preparation) does and a grading as its generation, all
    decoding profiles together, since each element waits for the one it follows: so `pack` may not
    be smaller than theirs. Where nothing is left to follow, it counts as it stands.
    """
    python: str | None = None
    """Interpreter of this kind, where it needs an environment of its own; null is the launcher's."""
    account: str | None = None
    """The kind's own, as the three below, in place of the cluster's; an empty text is none."""
    partition: str | None = None
    qos: str | None = None
    constraint: str | None = None
    array_throttle: int | None = Field(None, ge=1)
    """The kind's own, in place of the cluster's."""
    setup: list[str] = []
    """Shell lines of this kind, after the cluster's."""


class RetryPolicy(BaseModel):
    """How often what ended before its end is run again, by what ended it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    time_outs: int = Field(3, ge=0)
    """Stops at the time limit that a job may go on from."""


class ClusterConfig(BaseModel):
    """A site's settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["auto", "slurm", "local"] = "auto"
    """`auto` is Slurm where sbatch and the controller answer, else this machine."""
    account: str | None = None
    partition: str | None = None
    qos: str | None = None
    constraint: str | None = None
    setup: list[str] = []
    """Shell lines before the job: modules, variables, a container."""
    array_throttle: int | None = Field(None, ge=1)
    """Most elements of one array that run at once."""
    kill_on_invalid_dep: bool = True
    """Slurm cancels an element whose parent failed, instead of keeping it for ever."""
    requeue: bool = True
    """Slurm begins again what it preempted or what its node failed under, and an element that is
    stopped at its time limit requeues itself. Where a site forbids it, the next launch does."""
    signal_lead_s: int = Field(90, ge=1)
    """Seconds before its time limit at which a job is told to stop (Slurm may send it half a minute
    earlier): as long as a checkpoint takes to write. At most half of the limit is used."""
    retry: RetryPolicy = RetryPolicy()
    slurm_parameters: dict[str, Any] = {}
    """Further sbatch options by their long name, as they are."""
    local_cpus: int | None = Field(None, ge=1)
    """CPUs that jobs may use at once on one machine; null is all of them."""


class ResourcesByKind(BaseModel):
    """Resources of each kind of job. Grading never needs a GPU node."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="after")
    def _packs(self) -> ResourcesByKind:
        for kind, leaders in FOLLOWED.items():
            pack: int = getattr(self, kind).pack
            for leader in leaders:
                least: int = getattr(self, leader).pack
                if pack < least:
                    raise ValueError(
                        f"{kind}.pack is {pack} and {leader}.pack {least}: a {kind} job shares an "
                        f"element as the {leader} job before it does; set {kind}.pack to {least} "
                        f"or more, or {leader}.pack to {pack}"
                    )
        if self.train.pack > 1 and self.train.nodes * self.train.tasks_per_node > 1:
            raise ValueError(
                f"train.pack is {self.train.pack}, and nodes x tasks_per_node "
                f"{self.train.nodes * self.train.tasks_per_node}: where one rank fails, the others "
                "would go on to the next job without it; set train.pack to 1"
            )
        return self

    @model_validator(mode="after")
    def _ranks(self) -> ResourcesByKind:
        for kind in ("prepare", "generate", "grade"):
            asked: Resources = getattr(self, kind)
            if asked.nodes * asked.tasks_per_node > 1:
                raise ValueError(
                    f"{kind}.nodes x tasks_per_node must be 1: only train runs in several ranks"
                )
        return self

    prepare: Resources = Resources()
    train: Resources = Resources()
    generate: Resources = Resources()
    grade: Resources = Resources()
