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
IN_A_SMALL_DISK = 'mount -t tmpfs -o size=32k none "$0" && exec "$@"'


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_students_and_checkpoints_are_kept_apart(run_ranks):
    kept = {"evaluation_every": 3, "keep_evaluation": 2, "keep_resume": 3}
    configs = {
        "kept": {**RECIPE, **OFTEN, **kept},
        "sharded": {**RECIPE, "zero_stage": 3, "evaluation_every": 4},
        "plain": RECIPE,
        "plain sharded": {**RECIPE, "zero_stage": 3},
    }
    folder, _ = run_ranks(configs, 1, steps=9)
    assert names(folder / "resume kept") == ["step-6", "step-7", "step-8"]
    # The trainings of this test share the folder; the last step's student is `model` itself.
    students = folder / "checkpoints"
    assert names(students) == ["step-3", "step-4", "step-6", "step-8"]

    def weights(name):
        return (folder / name / "model.safetensors").read_bytes()

    assert weights("model kept") == weights("model plain")
    assert weights("model sharded") == weights("model plain sharded")
    for student in students.iterdir():
        assert load_model(student, "fp32").num_parameters() > 0
        assert load_tokenizer(student).chat_template
        assert weights(f"checkpoints/{student.name}") != weights("model plain")


def test_a_full_disk_costs_what_is_kept_and_is_told_at_the_end(spaced, start, documents):
    """A real one, of 32 KiB: the log fits, and no checkpoint and no student."""
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
        env={**os.environ, "OMP_NUM_THREADS": "1"},
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
