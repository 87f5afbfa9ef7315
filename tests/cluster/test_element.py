from __future__ import annotations

import json
import re
import sys

import pytest

from valley.cluster.element import ElementFailed, foreground, log_path, run_element, run_job
from valley.errors import UserError
from valley.job import Job
from valley.job_file import identity_of
from valley.processes import this_process
from valley.store import Store

GOOD = {"evaluation": {"source": "tiny", "evaluation_problems": 5}}
BAD = {"evaluation": {"source": "jsonl", "evaluation": "0" * 64}}


def prepare(config, inputs):
    ids = {role: job.identity for role, job in inputs.items()}
    return Job("prepare", identity_of("prepare", config, ids), "data", config, inputs)


def lay(root, config, inputs=None):
    """A prepare job, laid in the store, ready to run."""
    job = prepare(config, inputs or {})
    return Store(root).lay(job, {"evaluation": str(root / "nowhere")})


def test_a_packed_element_goes_on_after_a_failure(spaced):
    bad, good = lay(spaced, BAD), lay(spaced, GOOD)
    run_element([str(bad), str(good)])
    failure = json.loads((bad / "failed.json").read_text())
    assert "cannot be read" in failure["error"]
    assert not (bad / "result.json").exists() and not (bad / "running.json").exists()
    result = json.loads((good / "result.json").read_text())
    assert result["outcome"]["evaluation_problems"] == 5
    assert result["cost"]["wall_s"] > 0 and result["provenance"]["versions"]["valley"]
    assert not (good / "progress.json").exists()


def test_an_element_fails_if_none_of_its_jobs_succeeded(spaced):
    with pytest.raises(ElementFailed, match="none of 1 jobs succeeded"):
        run_element([str(lay(spaced, BAD))])


def test_a_job_whose_input_has_no_result_is_passed_over_and_not_failed(spaced):
    child = lay(spaced, GOOD, {"data": prepare(BAD, {})})
    assert run_job(child) == "none"
    assert not (child / "failed.json").exists() and not (child / "result.json").exists()


def test_a_job_whose_result_is_there_is_not_run_again(spaced):
    good = lay(spaced, GOOD)
    assert run_job(good) == "made"
    before = (good / "result.json").read_bytes()
    (good / "evaluation.jsonl").unlink()
    assert run_job(good) == "there"
    assert (good / "result.json").read_bytes() == before
    assert not (good / "evaluation.jsonl").exists()


def test_a_success_clears_the_failure_before_it(spaced):
    good = lay(spaced, GOOD)
    (good / "failed.json").write_text("{}")
    assert run_job(good) == "made"
    assert not (good / "failed.json").exists()


def test_the_foreground_command(spaced, capsys):
    assert foreground([]) == 2
    assert foreground(["--help"]) == 0
    assert "JOB.json" in capsys.readouterr().out
    with pytest.raises(UserError, match="no such file"):
        foreground([str(spaced / "job.json")])
    assert foreground([str(lay(spaced, GOOD) / "job.json")]) == 0


@pytest.mark.parametrize(
    ("who", "said"),
    [
        ({}, "is at work at this job (log: /a/log); wait for its end or cancel it"),
        ({"host": "elsewhere"}, "or if you know that it is dead remove running.json there"),
        ({"start": "1"}, None),
    ],
)
def test_a_job_that_another_process_is_at_is_not_begun_in_the_foreground(spaced, who, said):
    good = lay(spaced, GOOD)
    note = {**this_process(), "log": "/a/log", **who}
    (good / "running.json").write_text(json.dumps(note))
    if said is None:
        assert foreground([str(good)]) == 0
    else:
        with pytest.raises(UserError, match=re.escape(said)):
            foreground([str(good)])
        assert not (good / "result.json").exists()


def test_a_users_mistake_leaves_one_message_and_no_traceback(spaced, capfd):
    job = lay(spaced, {"nothing": "known"})
    assert run_job(job) == "none"
    log = capfd.readouterr().err
    assert "UserError: " in log and "nothing that a prepare job knows" in log
    assert "Traceback" not in log
    failed = json.loads((job / "failed.json").read_text())
    assert failed["failure"] == "code_error" and "what this line says" in failed["action"]


def test_the_log_is_where_stderr_goes(spaced):
    import subprocess

    path = spaced / "a log"
    with path.open("w") as log:
        code = "from valley.cluster.element import log_path; print(log_path())"
        done = subprocess.run(
            [sys.executable, "-c", code], stderr=log, stdout=subprocess.PIPE, text=True, check=True
        )
    assert done.stdout.strip() == str(path)
    assert isinstance(log_path(), str)
