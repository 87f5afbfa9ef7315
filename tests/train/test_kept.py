"""What a training leaves on its way: students to evaluate, checkpoints to resume from, and a full disk."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from valley.student import load_model, load_tokenizer

RECIPE = {"batch_size": 8, "learning_rate": 2e-3, "precision": "fp32", "micro_batch_size": 8}
OFTEN = {"checkpoint_every_s": 1e-9}
IN_A_SMALL_DISK = """
mount -t tmpfs -o size=32k none "$0" || exit 1
test -z "$FILLED" || head -c 32768 /dev/zero > "$0/filler"
exec "$@"
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


KEPT = {"evaluation_every": 3, "keep_evaluation": 2, "keep_resume": 3}


@pytest.mark.parametrize(
    ("recipe", "students", "checkpoints"),
    [
        ({**RECIPE, **OFTEN, **KEPT}, ["step-3", "step-6"], ["step-6", "step-7", "step-8"]),
        ({**RECIPE, "zero_stage": 3, "evaluation_every": 4}, ["step-4", "step-8"], []),
    ],
)
def test_students_and_checkpoints_are_kept_apart(run_ranks, recipe, students, checkpoints):
    plain = {**RECIPE, "zero_stage": recipe.get("zero_stage", 0)}
    folder, _ = run_ranks({"kept": recipe, "plain": plain}, 1, steps=9)
    there = folder / "resume kept"
    assert (names(there) if there.is_dir() else []) == checkpoints
    # The last step's student is `model` itself.
    assert names(folder / "checkpoints") == students

    def weights(name):
        return (folder / name / "model.safetensors").read_bytes()

    assert weights("model kept") == weights("model plain")
    for student in (folder / "checkpoints").iterdir():
        assert load_model(student, "fp32").num_parameters() > 0
        assert load_tokenizer(student).chat_template
        assert weights(f"checkpoints/{student.name}") != weights("model plain")


def test_students_of_another_start_make_room_and_of_this_none_is_missing(run_ranks):
    every = {**RECIPE, "evaluation_every": 3}
    folder, _ = run_ranks({"before": {**every, "keep_evaluation": 1}, "plain": RECIPE}, 1, steps=9)
    students = folder / "checkpoints"
    assert names(students) == ["step-6"]
    (students / "step-best").mkdir()  # somebody's own
    undisturbed = (students / "step-6" / "model.safetensors").read_bytes()
    ends = {"by": "flag", "rank": 0, "step": 6}
    run_ranks({"half": every}, 1, steps=9, folder=folder, ends=ends)
    # Of the step that it was stopped at, only what it goes on from.
    assert names(students) == ["step-3", "step-best"]
    run_ranks({"half": every}, 1, steps=9, folder=folder)
    assert names(students) == ["step-3", "step-6", "step-best"]
    assert (students / "step-6" / "model.safetensors").read_bytes() == undisturbed


@pytest.mark.parametrize("filled", ["", "yes"])
def test_a_full_disk_costs_what_is_kept_and_is_told_at_the_end(spaced, start, documents, filled):
    """A real one, of 32 KiB: the log fits, or not even that, and no checkpoint and no student."""
    disk = spaced / "a disk"
    disk.mkdir()
    task = {
        "start": str(start),
        "documents": documents,
        "configs": {"full": {**RECIPE, **OFTEN, "evaluation_every": 2}},
        "steps": 4,
        "folder": str(disk),
        "ends": None,
        "file_limit": None,
    }
    (spaced / "task.json").write_text(json.dumps(task))
    inside = ["unshare", "--map-root-user", "--mount", "sh", "-c", IN_A_SMALL_DISK, str(disk)]
    if subprocess.run([*inside, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets no user mount a tmpfs")
    ranks = Path(__file__).parent / "ranks.py"
    done = subprocess.run(
        [*inside, sys.executable, str(ranks), str(spaced / "task.json")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "FILLED": filled},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert done.returncode == 1
    for step in (1, 2, 3):
        assert f"no checkpoint of step {step}: No space left on device: 0.00 GB" in done.stdout
    refused = "the trained student cannot be written: No space left on device"
    assert f"step-2: {refused}" in done.stdout
    assert f"UserError: {disk / 'model full'}: {refused}" in done.stdout
    assert ("its lines wait for room" in done.stdout) == bool(filled)
