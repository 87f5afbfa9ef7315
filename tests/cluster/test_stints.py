from __future__ import annotations

import socket

from valley.cluster.stints import begin_stint, end_stint, read_stints, time_outs


def on_slurm(monkeypatch, task):
    array, _, index = task.partition("_")
    monkeypatch.setenv("SUBMITIT_EXECUTOR", "slurm")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", array)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", index)


def whys(folder):
    return [stint.why for stint in read_stints(folder)]


def test_each_stint_tells_where_it_ran_and_why_it_ended(spaced, monkeypatch):
    on_slurm(monkeypatch, "12_3")
    begin_stint(spaced)
    (at_work,) = read_stints(spaced)
    assert (at_work.number, at_work.slurm, at_work.why, at_work.ended) == (1, "12_3", "", None)
    assert at_work.host == socket.gethostname()
    end_stint(spaced, "time_limit")
    begin_stint(spaced)
    end_stint(spaced, "done")
    assert whys(spaced) == ["time_limit", "done"]
    first, second = read_stints(spaced)
    assert first.began <= first.ended <= second.began <= second.ended and second.number == 2


def test_what_had_no_time_to_say_why_was_killed(spaced):
    begin_stint(spaced)
    begin_stint(spaced)
    assert whys(spaced) == ["killed", ""]


def test_a_terminated_element_that_slurm_begins_again_was_preempted(spaced, monkeypatch):
    on_slurm(monkeypatch, "12_3")
    begin_stint(spaced)
    end_stint(spaced, "terminated")
    begin_stint(spaced)
    end_stint(spaced, "terminated")
    on_slurm(monkeypatch, "13_0")
    begin_stint(spaced)
    assert whys(spaced) == ["preempted", "terminated", ""]


def test_time_outs_are_counted_from_the_last_failure_on(spaced):
    assert time_outs(spaced) == 0
    for why in ("time_limit", "failed", "time_limit", "terminated", "time_limit"):
        begin_stint(spaced)
        end_stint(spaced, why)
    assert time_outs(spaced) == 2
    begin_stint(spaced)
    end_stint(spaced, "done")
    assert time_outs(spaced) == 0, "a rebuild begins with the whole budget"


def test_a_damaged_record_costs_the_record_and_not_the_job(spaced):
    (spaced / "stints.jsonl").write_text("{")
    begin_stint(spaced)
    assert whys(spaced) == [""]
    assert (spaced / "stints.jsonl.damaged-1").read_text() == "{"
