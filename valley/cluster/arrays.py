"""Arrays: how jobs that are to run are grouped, packed and chained. Pure.

Jobs of one kind, depth and resource shape form an array. A generation follows its training, and a
grading its generation, one to one and in the same order and packing, so that each element waits for its
partner alone (`aftercorr`); what many elements share, such as the data or a stage's first checkpoint,
they all wait for (`afterok`). Jobs of a group whose followers differ (since some are done already) are
put in arrays of their own, so that one to one always holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from valley.cluster.config import ResourcesByKind, Resources
from valley.plan import Job
from valley.records import digest

LEADER_ROLE = {"generate": "model", "grade": "samples"}


@dataclass(eq=False)
class Element:
    """What one process, or one set of ranks, runs: one job or several."""

    jobs: list[Job]
    array: Array
    index: int


@dataclass(eq=False)
class Array:
    """Elements that are submitted together, with one resource shape and one dependency."""

    name: str
    kind: str
    resources: Resources
    elements: list[Element] = field(default_factory=list)
    partner: Array | None = None
    """The array whose element i this one's element i follows."""
    parents: list[Job] = field(default_factory=list)
    """Jobs that every element waits for: to be submitted before this array, or live already."""


def make_arrays(
    jobs: list[Job],
    resources: ResourcesByKind,
    cost_s: Callable[[Job], float],
    sweep: str,
    max_elements: int = 1000,
    live: frozenset[str] = frozenset(),
) -> list[Array]:
    """Group jobs, parents before children, into arrays, parents before children.

    Args:
        cost_s: a job's estimated seconds; jobs that share an element are chosen by it.
        max_elements: the largest array that the scheduler takes.
        live: identities of jobs that are running or queued from an earlier launch.
    """
    waiting = {job.identity for job in jobs}
    followers: dict[str, list[Job]] = {}
    for job in jobs:
        if (leader := _leader(job)) is not None and leader.identity in waiting:
            followers.setdefault(leader.identity, []).append(job)
    groups: dict[tuple, list[Job]] = {}
    for job in jobs:
        leader = _leader(job)
        if leader is None or leader.identity not in waiting:
            parents = _parents(job, waiting, live)
            shared = tuple(sorted(parent.identity for parent in parents))
            key = (job.kind, job.depth, job.slot, shared, _signature(job, followers))
            groups.setdefault(key, []).append(job)
    arrays: list[Array] = []
    for members in groups.values():
        kind_resources: Resources = getattr(resources, members[0].kind)
        packs = _pack(members, kind_resources.pack, cost_s)
        for begin in range(0, len(packs), max_elements):
            arrays += _chain(
                packs[begin : begin + max_elements],
                None,
                resources,
                followers,
                waiting,
                live,
                sweep,
            )
    return arrays


def _chain(
    packs: list[list[Job]],
    partner: Array | None,
    resources: ResourcesByKind,
    followers: Mapping[str, list[Job]],
    waiting: set[str],
    live: frozenset[str],
    sweep: str,
) -> list[Array]:
    """An array of these packs, and the arrays that follow it element by element."""
    first = packs[0][0]
    array = Array(
        name=array_name(first, sweep),
        kind=first.kind,
        resources=getattr(resources, first.kind),
        partner=partner,
        parents=[
            job
            for job in _parents(first, waiting, live)
            if partner is None or job != _leader(first)
        ],
    )
    array.elements = [Element(pack, array, index) for index, pack in enumerate(packs)]
    arrays = [array]
    by_sort: dict[str, list[list[Job]]] = {}
    for pack in packs:
        for sort in {_sort(f): None for job in pack for f in followers.get(job.identity, [])}:
            matching = [f for job in pack for f in followers[job.identity] if _sort(f) == sort]
            by_sort.setdefault(sort, []).append(matching)
    for following in by_sort.values():
        arrays += _chain(following, array, resources, followers, waiting, live, sweep)
    return arrays


def array_name(job: Job, sweep: str) -> str:
    """A name whose first eight characters, which is what squeue shows, tell kind and stage."""
    short = {"prepare": "prep", "train": "train", "generate": "gen", "grade": "grade"}[job.kind]
    return "-".join(part for part in (f"{short}{job.depth}", job.slot, sweep) if part)


def _leader(job: Job) -> Job | None:
    role = LEADER_ROLE.get(job.kind)
    return job.inputs[role] if role else None


def _parents(job: Job, waiting: set[str], live: frozenset[str]) -> list[Job]:
    """What a job must wait for, without what its other parents wait for anyway."""
    direct = [j for j in job.inputs.values() if j.identity in waiting or j.identity in live]
    return [j for j in direct if not any(_waits_for(other, j) for other in direct if other != j)]


def _waits_for(job: Job, ancestor: Job) -> bool:
    return any(parent == ancestor or _waits_for(parent, ancestor) for parent in job.inputs.values())


def _sort(job: Job) -> str:
    """What followers of different leaders must share to be partners in one array."""
    others = {role: j.identity for role, j in job.inputs.items() if role != LEADER_ROLE[job.kind]}
    return digest([job.kind, job.slot, job.config, others])


def _signature(job: Job, followers: Mapping[str, list[Job]]) -> tuple:
    return tuple(
        sorted((_sort(f), _signature(f, followers)) for f in followers.get(job.identity, []))
    )


def _pack(jobs: list[Job], most: int, cost_s: Callable[[Job], float]) -> list[list[Job]]:
    """Share elements between jobs: first fit, longest first, none longer than the longest job.

    So packing saves start-ups and does not lengthen the array.
    """
    if most == 1:
        return [[job] for job in jobs]
    packs: list[list[Job]] = []
    loads: list[float] = []
    ordered = sorted(jobs, key=lambda job: (-cost_s(job), job.identity))
    for job in ordered:
        cost = cost_s(job)
        for index, pack in enumerate(packs):
            if len(pack) < most and loads[index] + cost <= cost_s(ordered[0]) * 1.001:
                pack.append(job)
                loads[index] += cost
                break
        else:
            packs.append([job])
            loads.append(cost)
    return packs
