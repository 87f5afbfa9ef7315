from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from valley.cluster.rendezvous import Place, open_store, place, wait_for_all

JOIN = """
import sys
from pathlib import Path
import torch
import torch.distributed as dist
from valley.cluster.rendezvous import join_process_group, leave_process_group, place

join_process_group(place(), Path(sys.argv[1]))
total = torch.tensor([float(sys.argv[2]) * (place().rank + 1)])
dist.all_reduce(total)
print(total.item())
leave_process_group()
"""


def places(attempt, ranks=2):
    return [Place(rank, ranks, rank, ranks, "127.0.0.1", attempt) for rank in range(ranks)]


def meet(folder, attempt, wait_s=20):
    """Open the store of two ranks, and let each read what the other wrote."""
    note = folder / f"rendezvous-{attempt}.json"

    def one(where):
        store = open_store(where, note, wait_s)
        store.set(f"from {where.rank}", attempt)
        # The store comes along, since its end would be the other's.
        return store.get(f"from {1 - where.rank}").decode(), store

    with ThreadPoolExecutor(2) as pool:
        return [told.result() for told in [pool.submit(one, where) for where in places(attempt)]]


def test_ranks_meet_and_jobs_on_one_node_do_not(spaced):
    with ThreadPoolExecutor(4) as pool:
        met = list(pool.map(lambda job: meet(spaced, job), ["a", "b", "c", "d"]))
    assert [[said for said, _ in ranks] for ranks in met] == [[job] * 2 for job in "abcd"]


def test_what_an_earlier_start_left_is_not_taken(spaced, monkeypatch):
    """A note of another attempt has another name; one of the same name is waited out."""
    monkeypatch.setattr("valley.cluster.rendezvous.CONNECT_S", 0.5)
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # bound, and refuses to be connected to
        stale = {"address": "127.0.0.1", "port": deaf.getsockname()[1]}
        (spaced / "rendezvous-7-0-0.json").write_text(json.dumps(stale))
        assert [said for said, _ in meet(spaced, "7-1-0")] == ["7-1-0"] * 2
        assert [said for said, _ in meet(spaced, "7-0-0")] == ["7-0-0"] * 2


def test_a_rank_without_the_others_says_so(spaced):
    first, second = places("alone")
    with pytest.raises(TimeoutError, match="rank 0 has not opened a port"):
        open_store(second, spaced / "nobody.json", wait_s=0.2)
    store = open_store(first, spaced / "left.json", wait_s=0.2)
    (spaced / "left.json").write_text(json.dumps({"address": "127.0.0.1", "port": _refusing()}))
    with pytest.raises(TimeoutError, match=r"Connection timed out: 127\.0\.0\.1:"):
        open_store(second, spaced / "left.json", wait_s=0.2)
    with pytest.raises(TimeoutError, match="Connection timed out: 1 of 2 ranks have come"):
        wait_for_all(store, 2, wait_s=0.2)
    del store


def _refusing():
    with socket.socket() as once:
        once.bind(("127.0.0.1", 0))
        port: int = once.getsockname()[1]
        return port


def test_every_start_has_a_name_of_its_own(monkeypatch):
    slurm = {
        "SUBMITIT_EXECUTOR": "slurm",
        "SLURM_JOB_ID": "12",
        "SLURM_STEP_ID": "0",
        "SLURM_PROCID": "1",
        "SLURM_LOCALID": "0",
        "SLURM_NTASKS": "2",
        "SLURM_JOB_NODELIST": "n1",
    }
    for name, value in slurm.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    monkeypatch.setattr("valley.cluster.slurm.hostnames", lambda nodes: [nodes])
    monkeypatch.setattr("valley.cluster.slurm.address", lambda host: "127.0.0.1")
    first = place()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    again = place()
    assert (first.attempt, again.attempt) == ("12-0-0", "12-1-0")
    assert dataclasses.replace(again, attempt=first.attempt) == first
    monkeypatch.delenv("SUBMITIT_EXECUTOR")
    monkeypatch.setenv("SUBMITIT_LOCAL_JOB_ID", "12")
    assert place().attempt.startswith("12-")


def test_two_jobs_at_once_in_one_folder_form_groups_of_their_own(spaced):
    def started(number, job, rank):
        env = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "SUBMITIT_LOCAL_NTASKS": "2",
            "SUBMITIT_LOCAL_GLOBALID": str(rank),
            "SUBMITIT_LOCAL_JOB_ID": job,
        }
        command = [sys.executable, "-c", JOIN, str(spaced), str(number)]
        return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)

    jobs = {number: uuid.uuid4().hex for number in (1, 10)}
    ranks = [(n, started(n, job, rank)) for n, job in jobs.items() for rank in (0, 1)]
    for number, rank in ranks:
        assert float(rank.communicate(timeout=120)[0]) == 3 * number
    assert list(Path(spaced).glob("rendezvous-*")) == []
