from __future__ import annotations

import pytest

from valley.logs import TAIL_BYTES, last_lines, tail, tail_of_last_job


def test_the_end_of_a_long_file(spaced):
    path = spaced / "log"
    path.write_text("".join(f"line {n}\n" for n in range(20_000)))
    assert len(tail(path)) == TAIL_BYTES
    assert last_lines(path, 2) == ["line 19998", "line 19999"]
    assert len(last_lines(path, 10_000)) == 10_000
    assert len(last_lines(path, 10**6)) == 20_000


def test_a_job_that_shares_a_log_has_its_own_part(spaced):
    path = spaced / "log"
    lines = ["train a: starts in /a", "a1", "a2", "train ab: starts in /b", "b1", "the end"]
    path.write_text("\n".join(lines) + "\n")
    assert last_lines(path, 9, "train a") == lines[:3]
    assert last_lines(path, 2, "train a") == ["a1", "a2"]
    assert last_lines(path, 9, "train ab") == lines[3:]
    assert last_lines(path, 2, "train elsewhere") == ["b1", "the end"]


@pytest.mark.parametrize("name", ["nowhere", ""])
def test_a_file_that_is_not_there_has_no_lines(spaced, name):
    assert tail(spaced / name) == "" and last_lines(spaced / name, 3) == []


def test_of_a_shared_log_the_last_job_has_its_own_part_and_all_ranks_speak(spaced):
    first = "INFO: train a: starts in /a\nValueError: a\nINFO: train b: starts in /b\nhm\n"
    (spaced / "7_1_0_log.err").write_text(first)
    (spaced / "7_1_1_log.err").write_text("slurmstepd: error\n")
    (spaced / "7_10_0_log.err").write_text("of another element\n")
    (spaced / "7_1_0_log.out").write_text("another stream\n")
    said = tail_of_last_job(spaced / "7_1_0_log.err")
    assert "ValueError" not in said and "hm" in said and "slurmstepd" in said
    assert "another" not in said
