from __future__ import annotations

from valley.attempts import ATTEMPTS, note_attempt, read_attempts, retries
from valley.records import write_json


def test_an_attempt_is_written_down_once_with_what_it_left(spaced):
    write_json(spaced / "running.json", {"began": 3.0, "host": "n1"})
    note_attempt(spaced, "a/0", "node_failure")
    note_attempt(spaced, "a/0", "node_failure")
    (attempt,) = read_attempts(spaced)
    assert attempt == {
        "schema": "valley.attempt/1",
        "began": 3.0,
        "ended": None,
        "why": "node_failure",
        "host": "n1",
        "place": "a/0",
    }


def test_retries_are_counted_by_class_and_without_the_present_attempt(spaced):
    assert retries(spaced, "a/0") == {}
    for place, why in (("a/0", "time_out"), ("b/1", "time_out"), ("c/0", "preempted")):
        note_attempt(spaced, place, why)
    assert retries(spaced, "d/0") == {"time_out": 2, "preempted": 1}
    assert retries(spaced, "b/1") == {"time_out": 1, "preempted": 1}


def test_a_line_that_a_dying_launcher_left_open_costs_no_other(spaced):
    note_attempt(spaced, "a/0", "lost")
    with (spaced / ATTEMPTS).open("a") as file:
        file.write('{"schema": "valley.att')
    note_attempt(spaced, "b/0", "lost")
    assert [attempt["place"] for attempt in read_attempts(spaced)] == ["a/0", "b/0"]
