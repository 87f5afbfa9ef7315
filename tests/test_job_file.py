from __future__ import annotations

import json
import os
import shutil

import pytest

from valley.job import Job
from valley.job_file import identity_of, read_job, write_result
from valley.store import Store


@pytest.fixture
def job(spaced):
    identity = identity_of("train", {"n": 1}, {})
    return read_job(Store(spaced).lay(Job("train", identity, "a job", {"n": 1}, {}), {}))


def test_outputs_are_on_the_disk_before_the_result_says_so(job, monkeypatch):
    (job.folder / "model").mkdir()
    (job.folder / "model" / "weights").write_text("w")
    (job.folder / "lost").symlink_to(job.folder / "nowhere")
    synced = []

    def fsync(descriptor):
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}").removeprefix(f"{job.folder}/"))

    monkeypatch.setattr("os.fsync", fsync)
    write_result(job, {}, {}, {})
    result = next(i for i, name in enumerate(synced) if "result.json" in name)
    assert {"model", "model/weights"} <= set(synced[:result])


def test_a_note_of_progress_that_cannot_be_written_costs_nothing(job):
    job.report(step=1, steps=2)
    assert json.loads((job.folder / "progress.json").read_text())["step"] == 1
    shutil.rmtree(job.folder)
    job.report(step=2, steps=2)
    assert not job.folder.exists()
