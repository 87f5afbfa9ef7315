"""What a sweep's jobs cost: estimated at their launch, and measured by the jobs themselves.

Jobs that cells share count once; those that another sweep shares count in full.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from valley.job_file import KINDS
from valley.ledger import Ledger
from valley.state import Ticket
from valley.store import Store


@dataclass(frozen=True)
class Cost:
    """The jobs of one kind, or of `all`. Hours are of wall clock, summed over jobs.

    `estimated_h` and `compared_h` are of the same jobs: those that are done and had an estimate.
    `gpu_h` counts the GPUs that the grid reserves for the kind.
    """

    kind: str
    jobs: int = 0
    done: int = 0
    without_estimate: int = 0
    to_come_h: float = 0.0
    """The estimate of what is not done."""
    estimated_h: float = 0.0
    compared_h: float = 0.0
    measured_h: float = 0.0
    cpu_h: float = 0.0
    gpu_h: float = 0.0

    @property
    def ratio(self) -> float | None:
        """How many times as long as estimated the done jobs took; None where that is not known."""
        return self.compared_h / self.estimated_h if self.estimated_h else None


def costs(folder: Path, places: Iterable[str]) -> list[Cost]:
    """The cost of a sweep's jobs by kind, in the order in which kinds run; last of all together.

    Args:
        folder: The sweep's folder.
        places: Folders of its jobs relative to the store, as its manifest names them.
    """
    estimates, gpus = Ledger(folder).estimates(), _gpus(folder)
    store = Store(folder.parent.parent, read_only=True)
    by_kind: dict[str, list[Cost]] = {}
    for place in sorted(set(places)):
        kind = Ticket.of(place).kind
        job = _of_job(place, estimates, store, gpus.get(kind, 0))
        by_kind.setdefault(kind, []).append(job)
    found = [_sum(kind, by_kind[kind]) for kind in KINDS if kind in by_kind]
    return [*found, _sum("all", found)]


def _of_job(place: str, estimates: dict[str, float], store: Store, gpus: int) -> Cost:
    job = Ticket.of(place)
    result = store.result(job.kind, job.identity)
    cost: dict[str, Any] = {} if result is None else result["cost"]
    # A job of an earlier sweep has its estimate from there.
    estimated_s = estimates.get(job.identity, cost.get("estimated_s"))
    known = Cost(job.kind, jobs=1, without_estimate=int(estimated_s is None))
    if result is None:
        return replace(known, to_come_h=(estimated_s or 0.0) / 3600)
    took_h = (cost.get("wall_s") or 0.0) / 3600
    return replace(
        known,
        done=1,
        estimated_h=(estimated_s or 0.0) / 3600,
        compared_h=0.0 if estimated_s is None else took_h,
        measured_h=took_h,
        cpu_h=(cost.get("cpu_s") or 0.0) / 3600,
        gpu_h=gpus * took_h,
    )


def _sum(kind: str, parts: list[Cost]) -> Cost:
    names = [field.name for field in fields(Cost) if field.name != "kind"]
    return Cost(kind, **{name: sum(getattr(part, name) for part in parts) for name in names})


def _gpus(folder: Path) -> dict[str, int]:
    """GPUs that the sweep's grid reserves for a job, by kind."""
    path = folder / "sweep.yaml"
    if not path.is_file():
        return {}
    import yaml

    settings = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return {
        kind: wanted.get("nodes", 1) * wanted.get("gpus_per_node", 0)
        for kind, wanted in settings.get("resources", {}).items()
    }


def sentence(total: Cost) -> str:
    """What all jobs took, and what is to come."""
    text = (
        f"{total.done:,} of {total.jobs:,} jobs are done; they took {hours(total.measured_h)} hours"
    )
    if total.ratio is not None:
        text += f", {total.ratio:.2g} times as long as estimated at their launch"
    used = (
        f"{hours(total.cpu_h)} CPU-hours of computing and {hours(total.gpu_h)} GPU-hours reserved"
    )
    text += f" ({used})."
    if total.to_come_h > 0:
        text += f" What is not done is estimated at {hours(total.to_come_h)} hours."
    if total.without_estimate:
        text += f" {total.without_estimate:,} jobs have no estimate."
    return text


def hours(value: float) -> str:
    """Hours to two or three digits; what is not nothing is not shown as nothing."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"
