"""Checkpoints that are written beside the training are those that it waits for, and cost it nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from valley.train.config import TrainConfig
from valley.train.step_log import COMPUTED

STEPS = 18
RECIPE = {"batch_size": 8, "learning_rate": 2e-3, "precision": "fp32", "micro_batch_size": 2}
PLAIN = {f"zero{stage}": {**RECIPE, "zero_stage": stage} for stage in (0, 1, 3)}
BESIDE = {"checkpoint_every_s": 1e-9, "checkpoint_beside": True}


def weights(folder, name):
    return (folder / f"model {name}" / "model.safetensors").read_bytes()


def computed(lines):
    return [{key: line[key] for key in COMPUTED} for line in lines]


def kept(folder):
    return sorted(int(path.name[5:]) for path in folder.glob("step-*"))


def test_a_training_whose_checkpoints_are_written_beside_it_ends_and_resumes_the_same(run_ranks):
    """Two ranks; the second's flag stops it, which waits for the checkpoint of that step."""
    beside = {f"half {name}": {**config, **BESIDE} for name, config in PLAIN.items()}
    ends = {"by": "flag", "rank": 1, "step": 7}
    folder, logs = run_ranks({**PLAIN, **beside}, 2, STEPS, ends=ends)
    for name in beside:
        assert kept(folder / f"resume {name}") == [7]
    _, resumed = run_ranks(beside, 2, STEPS, folder=folder)
    assert (folder / "said").read_text().count("resumes after step 7") == len(beside)
    for name in PLAIN:
        assert computed(resumed[f"half {name}"]) == computed(logs[name])
        assert weights(folder, f"half {name}") == weights(folder, name)
        assert kept(folder / f"resume half {name}")[-1] > 7


def test_a_write_that_fails_beside_it_costs_the_checkpoint_and_not_the_training(run_ranks, spaced):
    """The second rank may write no file as large as its part; or none can be begun."""
    beside = {**PLAIN["zero1"], **BESIDE}
    configs = {"zero1": PLAIN["zero1"], "beside": beside, "blocked": beside}
    limit = {"rank": 1, "bytes": 20_000}
    (spaced / "resume blocked").touch()
    folder, logs = run_ranks(configs, 2, STEPS, folder=spaced, file_limit=limit)
    said = (folder / "said").read_text()
    assert "resume beside: no checkpoint of step" in said and "rank 1: " in said
    assert list((folder / "resume beside").iterdir()) == []
    assert said.count("resume blocked: no checkpoint of step") == STEPS - 1
    for name in ("beside", "blocked"):
        assert computed(logs[name]) == computed(logs["zero1"])


def test_a_training_that_diverges_keeps_the_checkpoint_that_is_being_written(run_ranks):
    config = {**PLAIN["zero0"], **BESIDE, "learning_rate": 1e12}
    ends = {"by": "error", "rank": 0, "step": 0}
    folder, logs = run_ranks({"wild": config}, 2, STEPS, ends=ends)
    assert "wild: the training diverged: " in (folder / "said").read_text()
    assert set(kept(folder / "resume wild")) <= {line["step"] for line in logs["wild"]}
    assert kept(folder / "resume wild") and not list((folder / "resume wild").glob(".*"))


SLOW = """
import json, sys, threading
from pathlib import Path
import torch
from valley.cluster.rendezvous import join_process_group, leave_process_group, place
from valley.data.render import Document
from valley.train.config import TrainConfig
from valley.train.loop import train
from valley.train.resume import Draft

start, documents, folder = Path(sys.argv[1]), json.loads(sys.argv[2]), Path(sys.argv[3])
write, room = Draft.write, threading.Event()
seen = []

def alive(step):
    seen.append(sorted(path.name for path in (folder / "beside").iterdir()))
    if step == 5:
        room.set()
        [thread.join() for thread in threading.enumerate() if thread.name == "checkpoint"]

def slowly(draft, state):
    assert room.wait(60)
    write(draft, state if draft.partial.name != ".step-7.partial" else {"no": lambda: "pickle"})

torch.set_num_threads(1)
join_process_group(place())
for name, more in (("waits", {}), ("beside", {"checkpoint_beside": True})):
    (folder / name).mkdir()
    Draft.write = slowly if more else write
    config = TrainConfig.model_validate(
        {"batch_size": 8, "precision": "fp32", "checkpoint_every_s": 1e-9, "keep_resume": 9, **more}
    )
    train(
        [Document(*each) for each in documents], start, folder / f"model {name}", config, steps=8,
        seed=3, log=folder / f"{name}.jsonl", resume=folder / name,
        alive=alive if more else lambda step: None,
    )
leave_process_group()
print(json.dumps(seen))
"""


def test_the_training_goes_on_while_a_slow_disk_takes_the_state_of_an_earlier_step(
    spaced, start, documents
):
    import torch

    done = subprocess.run(
        [sys.executable, "-c", SLOW, str(start), json.dumps(documents), str(spaced)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout.splitlines()[-1])
    # Begun after step 1; no other is begun before it is there, which the ranks learn with step 6.
    assert seen[:6] == [[], *[[".step-1.partial"]] * 5]
    assert seen[6] == ["step-1"]
    # The next is begun after step 7, and its thread is broken off.
    assert kept(spaced / "beside") == [1]
    assert "no checkpoint of step 7: rank 0: its part could not be written" in done.stderr
    ours, waited = (
        torch.load(spaced / name / "step-1" / "state-0.pt", weights_only=True)
        for name in ("beside", "waits")
    )
    assert ours["fragments"] == waited["fragments"]
    assert torch.equal(ours["random"]["cpu"], waited["random"]["cpu"])
    for flat, expected in zip(ours["flats"], waited["flats"], strict=True):
        assert flat["step"] == expected["step"]
        for name, tensor in flat["tensors"].items():
            assert torch.equal(tensor, expected["tensors"][name])


@pytest.mark.parametrize("beside", [True, False])
def test_how_it_is_written_is_no_part_of_what_is_computed(beside):
    assert TrainConfig(checkpoint_beside=beside).semantic() == TrainConfig().semantic()
