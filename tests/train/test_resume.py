"""A training that was stopped or killed, and run again, ends as an undisturbed one: to the bit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from valley.data.pack import batches
from valley.data.render import Document
from valley.disk import lacks_room
from valley.train.config import TrainConfig
from valley.train.divergence import LOOKED_BACK
from valley.train.step_log import COMPUTED, StepLog
from valley.train.throughput import Throughput

STEPS = 18
RECIPE = {"batch_size": 8, "learning_rate": 2e-3, "precision": "fp32", "micro_batch_size": 2}
STAGES = {f"zero{stage}": {**RECIPE, "zero_stage": stage} for stage in range(4)}
STAGES["by tokens"] = {**RECIPE, "zero_stage": 2, "micro_batch_tokens": 64}
# ZeRO-1 and 2 share their optimizer.
BF16 = {
    f"bf16 {name}": {**config, "precision": "bf16"}
    for name, config in STAGES.items()
    if name not in ("zero1", "by tokens")
}


def halves_of(stages):
    return {f"half {name}": config for name, config in stages.items()}


def weights(folder: Path, name: str) -> bytes:
    return (folder / f"model {name}" / "model.safetensors").read_bytes()


def without_speed(lines):
    return [{key: line[key] for key in COMPUTED} for line in lines]


def said(folder):
    return (folder / "said").read_text()


def with_marker(checkpoint: Path, change) -> None:
    """Change what a checkpoint says of itself."""
    marker = json.loads((checkpoint / "checkpoint.json").read_text())
    change(marker)
    (checkpoint / "checkpoint.json").write_text(json.dumps(marker))


def steps_kept(folder, name):
    return sorted(path.name for path in (folder / f"resume {name}").iterdir())


@pytest.fixture(scope="module")
def trained(run_ranks):
    """By number of ranks: trainings that nothing stopped, and halves that a flag in the last rank did."""
    made = {}
    for world_size, stages in ((1, STAGES | BF16), (2, STAGES)):
        ends = {"by": "flag", "rank": world_size - 1, "step": 7}
        folder, logs = run_ranks({**stages, **halves_of(stages)}, world_size, STEPS, ends=ends)
        for name in halves_of(stages):
            assert f"{name}: stopped at step 7 of 18, kept: 7, gained: True" in said(folder)
            assert [line["step"] for line in logs[name]] == list(range(1, 8))
            assert not (folder / f"model {name}").exists()
            assert steps_kept(folder, name) == ["step-7"]
        made[world_size] = folder, logs
    return made


@pytest.mark.parametrize("world_size", [1, 2])
def test_a_stopped_training_goes_on_and_ends_the_same(run_ranks, trained, spaced, world_size):
    """ZeRO 0 to 3; by one rank in bf16 too."""
    before, logs = trained[world_size]
    stages = {name: config for name, config in (STAGES | BF16).items() if name in logs}
    folder = Path(shutil.copytree(before, spaced / "half"))
    _, resumed = run_ranks(halves_of(stages), world_size, STEPS, folder=folder)
    assert said(folder).count("resumes after step 7") == len(stages)
    for name in stages:
        assert without_speed(resumed[f"half {name}"]) == without_speed(logs[name])
        assert weights(folder, f"half {name}") == weights(before, name)


def test_what_does_not_fit_and_what_is_damaged(run_ranks, trained, spaced):
    """Damaged checkpoints are set aside and the one before is taken; what cannot fit is named."""
    before, _ = trained[1]
    folder = Path(shutil.copytree(before, spaced / "half"))
    kept = folder / "resume half zero1"
    for name, spoil in (("step-13", "flip"), ("step-14", "cut"), ("step-15", "unmark")):
        shutil.copytree(kept / "step-7", kept / name)
        victim = kept / name / "state-0.pt"
        content = bytearray(victim.read_bytes())
        if spoil == "flip":
            content[len(content) // 2] ^= 1
            victim.write_bytes(content)
        elif spoil == "cut":
            victim.write_bytes(content[: len(content) // 2])
        else:
            (kept / name / "checkpoint.json").unlink()
    (kept / ".step-16.partial").mkdir()
    marker = folder / "resume half zero2" / "step-7" / "checkpoint.json"
    marker.write_text(marker.read_text().replace("valley.checkpoint/2", "valley.checkpoint/1"))
    # An earlier version's.
    with_marker(kept / "step-7", lambda marker: marker["position"].pop("losses"))
    with_marker(kept / "step-7", lambda marker: marker.pop("student"))
    low = {"losses": [-9.0] * LOOKED_BACK}
    diverging, strange = (folder / f"resume half bf16 {name}" for name in ("zero0", "zero2"))
    with_marker(diverging / "step-7", lambda marker: marker["position"].update(low))
    with_marker(strange / "step-7", lambda marker: marker.update(student="another"))
    configs = {
        **halves_of(STAGES),
        "half zero0": {**STAGES["zero0"], "learning_rate": 1e-3},
        "half zero3": {**STAGES["zero3"], "micro_batch_size": 4},
        "half bf16 zero0": BF16["bf16 zero0"],
        "half bf16 zero2": BF16["bf16 zero2"],
    }
    ends = {"by": "error", "rank": 0, "step": 0}
    _, logs = run_ranks(configs, 1, STEPS, folder=folder, ends=ends)
    words = said(folder)
    assert "another training's checkpoint; the training begins at step 0" in words
    assert words.count("set aside as") == 3
    damaged = {f"step-{step}.damaged-1" for step in (13, 14, 15)}
    assert set(steps_kept(folder, "half zero1")) == {"step-7", *damaged}
    assert "a valley.checkpoint/1, and this version reads valley.checkpoint/2" in words
    assert "of a training that began with another student; the training begins at step 0" in words
    assert words.count("begins at step 0") == 3
    assert words.count("resumes after step 7") == 4
    assert "half bf16 zero0: the training diverged: " in words
    assert "above the median -9 of the 16 steps before" in words
    for name in ("zero1", "zero2"):
        assert len(logs[f"half {name}"]) == 18
        assert weights(folder, f"half {name}") == weights(before, name)


def test_other_ranks_and_another_stage_go_on_from_it(run_ranks, trained, spaced):
    """Two ranks, then one, then two again, which other stages take turns with: 1e-4 over 18 steps."""
    before, whole = trained[2]
    folder = Path(shutil.copytree(before, spaced / "half"))
    moved = {}
    for stage in range(4):
        # Its middle part has another stage: what any stage wrote, any other reads.
        other = f"half moved zero{stage}"
        moved[other] = {**STAGES[f"zero{stage}"], "zero_stage": (stage + 2) % 4 if stage else 3}
        shutil.copytree(folder / f"resume half zero{stage}", folder / f"resume {other}")
        shutil.copy(folder / f"half zero{stage}.jsonl", folder / f"{other}.jsonl")
    ends = {"by": "flag", "rank": 0, "step": 5}
    run_ranks({**halves_of(STAGES), **moved}, 1, STEPS, folder=folder, ends=ends)
    assert said(folder).count("stopped at step 12 of 18, kept: 12, gained: True") == 9
    assert said(folder).count("made by 2 ranks with ZeRO-") == 9
    back = {name: STAGES[name.removeprefix("half moved ")] for name in moved}
    _, logs = run_ranks({**halves_of(STAGES), **back}, 2, STEPS, folder=folder)
    assert said(folder).count("resumes after step 12") == 9
    for name, lines in logs.items():
        undisturbed = whole[name.removeprefix("half ").removeprefix("moved ")]
        assert [line["step"] for line in lines] == list(range(1, 19))
        for line, expected in zip(lines, undisturbed, strict=True):
            assert line["loss"] == pytest.approx(expected["loss"], rel=1e-4)


def test_a_write_that_fails_costs_the_checkpoint_and_not_the_training(run_ranks, trained):
    """The second rank may write no file as large as its part: as on a disk that fills up meanwhile."""
    before, logs = trained[2]
    often = {"zero1": {**STAGES["zero1"], "checkpoint_every_s": 1e-9}}
    folder, full = run_ranks(often, 2, STEPS, file_limit={"rank": 1, "bytes": 20_000})
    assert said(folder).count("resume zero1: no checkpoint of step") == 17
    assert "rank 1: " in said(folder)
    assert steps_kept(folder, "zero1") == []
    assert without_speed(full["zero1"]) == without_speed(logs["zero1"])
    assert weights(folder, "zero1") == weights(before, "zero1")


# Of 20 kills the first few each are in the ordinary suite.
KILLS = [
    (1, 3, 1, False),
    (2, 2, 2, True),
    *(
        pytest.param(ranks, 20, 3 + ranks, beside, marks=pytest.mark.slow)
        for ranks in (1, 2)
        for beside in (False, True)
    ),
]


@pytest.mark.parametrize(("ranks", "kills", "seed", "beside"), KILLS)
def test_killed_at_any_moment_it_goes_on_from_the_last_checkpoint(
    spaced, start, documents, ranks, kills, seed, beside
):
    """SIGKILL at random moments, every other one amid a checkpoint: they are written at every step, or
    beside the training one after another."""
    often = {"checkpoint_every_s": 1e-9, "checkpoint_beside": beside}
    config = {**STAGES["zero2"], **often, "keep_resume": 1 + kills % 2}
    task = {
        "start": str(start),
        "documents": documents,
        "configs": {"whole": STAGES["zero2"], "half": config},
        "steps": 60,
        "folder": str(spaced),
        "ends": None,
        "ranks": ranks,
        "kills": kills,
        "seed": seed,
    }
    (spaced / "task.json").write_text(json.dumps(task))
    done = subprocess.run(
        [sys.executable, str(Path(__file__).parent / "killed.py"), str(spaced / "task.json")],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert done.stdout.count("kill ") == kills
    lines = (spaced / "half.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 61))
    assert weights(spaced, "half") == weights(spaced, "whole")
    assert not any(name.startswith(".") for name in steps_kept(spaced, "half"))


def test_the_batches_of_a_resumed_training_are_those_of_the_whole_one():
    documents = [Document([n, n, n + 1], 1) for n in range(7)]
    options = {"steps": 20, "batch_size": 3, "micro_batch_size": 2, "seed": 1}
    whole = list(batches(documents, **options))
    for begin in (0, 1, 6, 7, 19, 20):
        assert list(batches(documents, **options, begin=begin)) == whole[begin:]


def test_the_log_behind_the_resumed_step_is_cut_and_a_torn_line_too(spaced):
    path = spaced / "log.jsonl"
    with StepLog(path, 0) as log:
        for step in range(1, 6):
            log.add(step, 9, 1.0, 1e-3, 2.0, Throughput())
    with path.open("a") as file:
        file.write('{"step": 6')
    with StepLog(path, 3) as log:
        log.add(4, 9, 1.0, 1e-3, 2.0, Throughput())
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3, 4]
    with StepLog(path, 0):
        pass
    assert path.read_text() == ""


def test_a_disk_without_room_is_told_before_anything_is_written(spaced):
    assert lacks_room(spaced, 1000) == ""
    assert "No space left on device: 12000000.00 GB are needed" in lacks_room(spaced, 12e15)


def test_how_often_it_is_kept_is_no_part_of_what_is_computed():
    assert TrainConfig(checkpoint_every_s=5).semantic() == TrainConfig().semantic()
    assert TrainConfig().checkpoint_every_s == 300
    assert TrainConfig(checkpoint_every_s=None).checkpoint_every_s is None
