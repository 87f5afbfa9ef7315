"""Submission to a Slurm with little room. sbatch is in place of the real one, since only so a thousand rooms can be tried; tests/slurm/test_limits.py asks the real one."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted_jobs import World, array, job

from valley.cluster import sbatch
from valley.cluster.arrays import Array, Element
from valley.cluster.config import ClusterConfig, Resources
from valley.cluster.submit import submit_to_slurm
from valley.errors import UserError


class Room:
    """A Slurm that takes so many elements, and remembers what it was given."""

    def __init__(self, elements):
        self.left = elements
        self.taken = {}
        self.asked = 0

    def submit(self, script):
        self.asked += 1
        text = script.read_text()
        indices = indices_of(re.search(r"--array=(\S+)", text).group(1))
        if len(indices) > self.left:
            raise sbatch.Refused("sbatch: error: AssocMaxSubmitJobLimit", True)
        self.left -= len(indices)
        job_id = str(100 + len(self.taken))
        waits = re.search(r"--dependency=(\S+)", text)
        self.taken[job_id] = (indices, waits.group(1) if waits else "")
        return job_id


def indices_of(text):
    found = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def chain(count):
    """A preparation that all wait for, then trainings, generations and gradings, one to one."""
    data = job("data")
    arrays = [array([data])]
    before = [data] * count
    for kind, role in (("train", "data"), ("generate", "model"), ("grade", "samples")):
        jobs = [job(f"{kind}{n}", kind, {role: before[n]}) for n in range(count)]
        made = Array(kind, kind, Resources(), partner=arrays[-1] if kind != "train" else None)
        made.elements = [Element([one], made, index) for index, one in enumerate(jobs)]
        made.parents = [data] if kind == "train" else []
        arrays.append(made)
        before = jobs
    return arrays


@settings(max_examples=60, deadline=None)
@given(count=st.integers(1, 12), room=st.integers(0, 40))
def test_what_fits_is_submitted_after_what_it_waits_for_and_the_rest_is_held(
    tmp_path_factory, count, room
):
    folder = tmp_path_factory.mktemp("a root")
    world = World(folder, folder)
    taker, arrays = Room(room), chain(count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sbatch, "submit", taker.submit)
        outcome = submit_to_slurm(arrays, ClusterConfig(), world.ledger, world.store, folder, {})
    every = [element for array in arrays for element in array.elements]
    assert sum(len(indices) for indices, _ in taker.taken.values()) + len(outcome.held) == len(
        every
    )
    assert len(every) - len(outcome.held) == min(room, len(every))
    assert taker.asked <= len(arrays) * 2 * (2 + math.log2(count + 1))
    # Whoever reads the journal knows the same.
    made = world.ledger.submissions()
    known = {s.job_id: [s.index(n) for n in range(len(s.elements))] for s in made if s.job_id}
    assert known == {job_id: indices for job_id, (indices, _) in taker.taken.items()}
    held = [identity for s in made if s.cluster == "held" for e in s.elements for identity in e]
    assert held == [one.identity for element in outcome.held for one in element.jobs]
    assert not any(s.is_open for s in made)
    for _, waits in taker.taken.values():
        for word, parent in re.findall(r"(afterok|aftercorr):([\d_]+)", waits):
            array_id, _, index = parent.partition("_")
            assert array_id in taker.taken
            assert word == "aftercorr" or int(index) in taker.taken[array_id][0]


def test_another_refusal_is_an_error_that_names_the_array(spaced, monkeypatch):
    def refuse(script):
        raise sbatch.Refused("sbatch: error: invalid partition specified: nowhere", False)

    monkeypatch.setattr(sbatch, "submit", refuse)
    world = World(spaced, spaced)
    with pytest.raises(UserError, match=r"refused test \(1 elements\): .*partition.*launch again"):
        submit_to_slurm([array([job("a")])], ClusterConfig(), world.ledger, world.store, spaced, {})
    # Whether it reached Slurm is for the next launch to find out.
    (left,) = world.ledger.submissions()
    assert left.is_open
