"""Where and how jobs run: resources per kind, and what a site needs. None of it changes a result."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

FOLLOWED = {"generate": ("prepare", "train"), "grade": ("generate",)}
"""The kinds whose jobs each kind's may follow one to one."""
RESUMES = frozenset({"train", "generate"})
"""The kinds whose jobs go on from where they were stopped."""

OF_TRAININGS = {"micro_batch_size", "micro_batch_tokens"}
"""What a training may get instead that is no resource."""


class MoreResources(BaseModel):
    """What a job gets instead when it has run out of memory. What is null stays as it was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory_gib: float | None = Field(None, gt=0)
    cpus_per_task: int | None = Field(None, ge=1)
    """For sites that hand out memory with CPUs."""
    micro_batch_size: int | None = Field(None, ge=1)
    """Of a training, whose result it does not change, as the next."""
    micro_batch_tokens: int | None = Field(None, ge=8)

    @model_validator(mode="after")
    def _something(self) -> MoreResources:
        if not self.model_dump(exclude_none=True):
            raise ValueError(
                "names nothing; give memory_gib, cpus_per_task, micro_batch_size or micro_batch_tokens"
            )
        return self


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
    shards: int = Field(1, ge=1)
    """Array elements that share one generation, each with an engine of its own; a further job puts
    their samples together. What is graded is the same whatever the number."""
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
    on_out_of_memory: MoreResources | None = None
    """What a job that ran out of memory is tried again with, as often as `cluster.retry` allows."""

    @model_validator(mode="after")
    def _more(self) -> Resources:
        more = self.on_out_of_memory
        for name in ("memory_gib", "cpus_per_task"):
            asked, least = getattr(more, name, None), getattr(self, name)
            if asked is not None and least is not None and asked < least:
                raise ValueError(
                    f"on_out_of_memory.{name} is {asked:g}, less than {name} {least:g}"
                )
        return self

    @property
    def ranks(self) -> int:
        """Processes of a job."""
        return self.nodes * self.tasks_per_node

    @property
    def raised(self) -> Resources:
        """What a job asks for that ran out of memory."""
        more = self.on_out_of_memory
        asked = more.model_dump(exclude_none=True, exclude=OF_TRAININGS) if more else {}
        return self.model_copy(update=asked)

    @property
    def raised_execution(self) -> dict[str, Any]:
        """How a job runs that ran out of memory, where that differs too."""
        more = self.on_out_of_memory
        return more.model_dump(exclude_none=True, include=OF_TRAININGS) if more else {}


class RetryPolicy(BaseModel):
    """How often a failed job is submitted again by itself, by what failed it: at the next launch, or as
    it fails under `--wait`.

    A code error, missing data, a full disk and what nobody can name never are: they would fail again.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    node_failures: int | None = Field(None, ge=0)
    """Null is without limit."""
    preemptions: int | None = Field(None, ge=0)
    """Null is without limit."""
    time_outs: int = Field(3, ge=0)
    """Of trainings and generations, which resume: by requeueing themselves, or by the next launch.
    Another job would run into the same limit again."""
    out_of_memory: int = Field(1, ge=0)
    """With the resources that `on_out_of_memory` names for its kind; without it, never."""
    infrastructure: int = Field(1, ge=0)
    """Lost connections, broken devices, sandboxes that do not start, ranks that hang."""

    def budget(self, failure: str, kind: str, resources: Resources) -> int | None:
        """How many retries a job of a kind is given after failures of this class; None is no limit."""
        match failure:
            case "node_failure":
                return self.node_failures
            case "preempted":
                return self.preemptions
            case "infrastructure" | "stuck":
                return self.infrastructure
            case "time_out" if kind in RESUMES:
                return self.time_outs
            case "out_of_memory" if resources.on_out_of_memory is not None:
                return self.out_of_memory
        return 0


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
        if self.train.pack > 1 and self.train.ranks > 1:
            raise ValueError(
                f"train.pack is {self.train.pack}, and nodes x tasks_per_node "
                f"{self.train.ranks}: where one rank fails, the others "
                "would go on to the next job without it; set train.pack to 1"
            )
        return self

    @model_validator(mode="after")
    def _ranks(self) -> ResourcesByKind:
        for kind in ("prepare", "generate", "grade"):
            asked: Resources = getattr(self, kind)
            for name in asked.raised_execution:
                raise ValueError(
                    f"{kind}.on_out_of_memory.{name}: only a training has micro-batches"
                )
            if asked.ranks > 1:
                raise ValueError(
                    f"{kind}.nodes x tasks_per_node must be 1: only train runs in several ranks"
                )
        return self

    @model_validator(mode="after")
    def _shards(self) -> ResourcesByKind:
        for kind in ("prepare", "train", "grade"):
            if getattr(self, kind).shards > 1:
                raise ValueError(f"{kind}.shards must be 1: only a generation can be shared")
        if self.generate.shards > 1 and self.generate.pack > 1:
            raise ValueError(
                f"generate.pack is {self.generate.pack} and generate.shards {self.generate.shards}: "
                "what is worth sharing between elements shares none with others; set one of them to 1"
            )
        return self

    prepare: Resources = Resources()
    train: Resources = Resources()
    generate: Resources = Resources()
    grade: Resources = Resources()
