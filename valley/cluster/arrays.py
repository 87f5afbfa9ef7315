"""Arrays: how jobs that are to run are grouped, packed and chained. Pure.

Jobs of one kind, depth and resource shape form an array. A generation follows its training, and a
grading its generation, one to one and in the same order and packing, so that each element waits for its
partner alone (`aftercorr`); what many elements share, such as the data or a stage's first checkpoint,
they all wait for (`afterok`). Jobs of a group whose followers differ (since some are done already) are
put in arrays of their own, so that one to one always holds. What follows an array that is live from an
earlier launch has the same indices as what it follows there.

Where a kind is packed, what follows one element shares one element too, decoding profiles together;
where it is not, each profile has an array of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from valley.cluster.config import Resources, ResourcesByKind
from valley.job import Job
from valley.records import digest

LEADER_ROLE = {"generate": "model", "grade": "samples"}


@dataclass(eq=False)
class Element:
    """What one process, or one set of ranks, runs: one job or several."""

    jobs: list[Job]
    array: Array
    index: int
    """In the array, as Slurm counts: that of the element it follows, where it follows one."""


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
    execution: dict[str, Any] = field(default_factory=dict)
    """How its jobs run, where they do so otherwise than they were planned."""


def make_arrays(
    jobs: list[Job],
    resources: ResourcesByKind,
    cost_s: Callable[[Job], float],
    sweep: str,
    *,
    share_s: float = 0.0,
    max_elements: int = 1000,
    live: Mapping[str, str] | None = None,
    raised: frozenset[str] = frozenset(),
) -> list[Array]:
    """Group jobs, parents before children, into arrays, parents before children.

    Args:
        cost_s: a job's estimated seconds; jobs that share an element are chosen by it.
        share_s: jobs share an element (as far as `pack` allows) until they last this long, or as
            long as the longest of their array.
        max_elements: the largest array that the scheduler takes.
        live: of jobs that are running or queued from an earlier launch, identity -> Slurm's name of
            the element, `array_index`.
        raised: identities of jobs that ran out of memory, and get what `on_out_of_memory` names.
    """
    live = live or {}
    waiting = {job.identity for job in jobs}
    followers: dict[str, list[Job]] = {}
    for job in jobs:
        if (leader := leader_of(job)) is not None and leader.identity in waiting:
            followers.setdefault(leader.identity, []).append(job)
    chaining = _Chaining(resources, followers, waiting, live, sweep, raised)
    groups: dict[tuple, list[Job]] = {}
    for job in jobs:
        leader = leader_of(job)
        if leader is None or leader.identity not in waiting:
            groups.setdefault(chaining.group(job), []).append(job)
    arrays: list[Array] = []
    for (led_by, kind, *_), members in groups.items():
        if led_by:
            packs = _packs_as_led(members, live)
        else:
            alone = _pack(members, getattr(resources, kind).pack, cost_s, share_s)
            packs = [
                dict(enumerate(alone[begin : begin + max_elements]))
                for begin in range(0, len(alone), max_elements)
            ]
        for pack in packs:
            arrays += chaining.chain(pack, None)
    return arrays


@dataclass
class _Chaining:
    """What an array and those that follow it are made of."""

    resources: ResourcesByKind
    followers: Mapping[str, list[Job]]
    waiting: set[str]
    live: Mapping[str, str]
    sweep: str
    raised: frozenset[str]

    def group(self, job: Job) -> tuple:
        """What must be alike in jobs that are to share an array: of those with no leader in this launch."""
        leader = leader_of(job)
        led_by = self.live[leader.identity] if leader and leader.identity in self.live else ""
        shared = tuple(sorted(p.identity for p in self.parents(job) if not led_by or p != leader))
        # Behind a live element its followers share an element as they would have from the start.
        slot = self._sort(job) if led_by else job.slot
        array = led_by.rpartition("_")[0]
        raised = job.identity in self.raised
        return (array, job.kind, job.depth, slot, shared, self.signature(job), raised)

    def chain(self, packs: Mapping[int, list[Job]], partner: Array | None) -> list[Array]:
        """An array of these packs, by index, and the arrays that follow it element by element."""
        first = next(iter(packs.values()))[0]
        resources: Resources = getattr(self.resources, first.kind)
        raised = first.identity in self.raised
        array = Array(
            name=array_name(first, self.sweep, resources.pack > 1),
            kind=first.kind,
            resources=resources.raised if raised else resources,
            partner=partner,
            execution=resources.raised_execution if raised else {},
        )
        array.elements = [Element(pack, array, index) for index, pack in packs.items()]
        jobs = [job for pack in packs.values() for job in pack]
        led = {leader_of(job) for job in jobs}
        needed = {parent: None for job in jobs for parent in self.parents(job)}
        array.parents = [parent for parent in needed if parent not in led]
        arrays = [array]
        for sort in self._sorts(array.elements[0].jobs):
            following = {
                index: [f for f in self._following(pack) if self._sort(f) == sort]
                for index, pack in packs.items()
            }
            arrays += self.chain(following, array)
        return arrays

    def signature(self, job: Job) -> tuple:
        """What must be alike in jobs whose followers are to be partners one to one."""
        following = self.followers.get(job.identity, [])
        return tuple(sorted({(self._sort(f), self.signature(f)) for f in following}))

    def parents(self, job: Job) -> list[Job]:
        """What a job must wait for, without what its other parents wait for anyway."""
        direct = [j for j in job.parents if j.identity in self.waiting or j.identity in self.live]
        return [
            j for j in direct if not any(_waits_for(other, j) for other in direct if other != j)
        ]

    def _following(self, pack: list[Job]) -> list[Job]:
        return [f for job in pack for f in self.followers.get(job.identity, [])]

    def _sorts(self, pack: list[Job]) -> list[str]:
        return list({self._sort(f): None for f in self._following(pack)})

    def _sort(self, job: Job) -> str:
        """Followers of one sort share an array. Packed, a kind is one sort."""
        more = " raised" if job.identity in self.raised else ""
        if getattr(self.resources, job.kind).pack > 1:
            return job.kind + more
        return digest([job.kind, job.slot, job.config]) + more


def array_name(job: Job, sweep: str, packed: bool = False) -> str:
    """A name whose first eight characters, which is what squeue shows, tell kind and depth."""
    short = {"prepare": "prep", "train": "train", "generate": "gen", "grade": "grade"}[job.kind]
    if job.kind in LEADER_ROLE and packed:
        return f"{short}{job.depth}-{sweep}"
    return "-".join(part for part in (f"{short}{job.depth}", job.slot, sweep) if part)


def leader_of(job: Job) -> Job | None:
    """The job that this one follows one to one: of a generation its model, of a grading its samples.

    A generation whose parts are jobs of their own follows all of these, and so none of them one to one.
    """
    if "shards" in job.execution:
        return None
    role = LEADER_ROLE.get(job.kind)
    return job.inputs[role] if role else None


def _waits_for(job: Job, ancestor: Job) -> bool:
    return any(parent == ancestor or _waits_for(parent, ancestor) for parent in job.parents)


def _packs_as_led(jobs: list[Job], live: Mapping[str, str]) -> list[dict[int, list[Job]]]:
    """One pack behind each element of a live array, by that element's index."""
    packs: dict[int, list[Job]] = {}
    for job in jobs:
        leader = leader_of(job)
        assert leader is not None
        packs.setdefault(int(live[leader.identity].rpartition("_")[2]), []).append(job)
    return [dict(sorted(packs.items()))]


def _pack(
    jobs: list[Job], most: int, cost_s: Callable[[Job], float], share_s: float
) -> list[list[Job]]:
    """Share elements between jobs: first fit, longest first, none longer than the longest job.

    So packing saves start-ups and hardly lengthens the array.
    """
    if most == 1:
        return [[job] for job in jobs]
    packs: list[list[Job]] = []
    loads: list[float] = []
    ordered = sorted(jobs, key=lambda job: (-cost_s(job), job.identity))
    capacity = max(share_s, cost_s(ordered[0])) * 1.001
    for job in ordered:
        cost = cost_s(job)
        for index, pack in enumerate(packs):
            if len(pack) < most and loads[index] + cost <= capacity:
                pack.append(job)
                loads[index] += cost
                break
        else:
            packs.append([job])
            loads.append(cost)
    return packs
