from __future__ import annotations

import fcntl
import os
import threading
from dataclasses import replace

import pytest

from valley.data.problems import Problem
from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.evaluate.grading import grade_files
from valley.evaluate.samples import Sample, Verdict, verdicts_digest
from valley.records import read_records, write_records

CONFIG = GradeConfig(output_limit_kib=256)
PROBLEMS = [
    Problem(name, "test", "", [{"input": "", "output": str(i)}]) for i, name in enumerate("ab")
]


def sample(name, index, code):
    return Sample(name, index, 0, f"```python\n{code}\n```", "stop", 1, 1)


SAMPLES = [sample(name, index, f"print({index % 2})") for index in range(4) for name in "ab"]
STATUSES = [
    "passed" if index % 2 == place else "wrong_answer" for index in range(4) for place in (0, 1)
]


@pytest.fixture
def files(spaced):
    names = ("problems.jsonl", "samples.jsonl", "verdicts.jsonl")
    problems, samples, out = (spaced / name for name in names)
    write_records(problems, PROBLEMS)
    write_records(samples, SAMPLES)
    return problems, samples, out


def notes_of(out):
    return out.with_name("verdicts.jsonl.grading")


def without_times(path):
    return [replace(v, cpu_s=0.0, wall_s=0.0) for v in read_records(path, Verdict)]


class Stop(Exception):
    pass


def stop_after(count):
    def progress(done, kept, total):
        if done == count:
            raise Stop

    return progress


def test_verdicts_are_written_in_the_samples_order(files):
    calls = []
    graded = grade_files(*files, CONFIG, progress=lambda *call: calls.append(call))
    assert [v.status for v in graded.verdicts] == STATUSES
    assert read_records(files[2], Verdict) == graded.verdicts
    assert calls == [(i, 0, 8) for i in range(1, 9)]
    assert len(notes_of(files[2]).read_bytes().splitlines()) == 1


@pytest.mark.parametrize("count", [1, 5, 8])
def test_what_was_finished_is_not_graded_again(files, count):
    whole = grade_files(files[0], files[1], files[2].with_name("whole.jsonl"), CONFIG).verdicts
    with pytest.raises(Stop):
        grade_files(*files, CONFIG, progress=stop_after(count), workers=2)
    assert not files[2].exists()
    before = notes_of(files[2]).read_bytes().splitlines()[1:]
    assert len(before) == count
    calls = []
    graded = grade_files(*files, CONFIG, progress=lambda *call: calls.append(call), workers=2)
    assert [call[:2] for call in calls] == [(i, count) for i in range(count + 1, 9)]
    assert verdicts_digest(graded.verdicts) == verdicts_digest(whole)
    # The kept ones are the very same lines, times and all.
    assert set(before) <= set(files[2].read_bytes().splitlines())


@pytest.mark.parametrize("cut", [1, 40])
def test_a_line_that_was_cut_by_a_kill_is_graded_again(files, cut):
    with pytest.raises(Stop):
        grade_files(*files, CONFIG, progress=stop_after(3))
    notes = notes_of(files[2])
    notes.write_bytes(notes.read_bytes()[:-cut])
    calls = []
    grade_files(*files, CONFIG, progress=lambda *call: calls.append(call))
    assert calls[0] == (3, 2, 8)
    assert [v.status for v in read_records(files[2], Verdict)] == STATUSES


def test_what_a_machine_that_went_down_left_is_read_up_to_the_damage(files):
    with pytest.raises(Stop):
        grade_files(*files, CONFIG, progress=stop_after(5))
    notes = notes_of(files[2])
    lines = notes.read_bytes().splitlines(keepends=True)
    lines[2] = b"\0" * (len(lines[2]) - 1) + b"\n"
    notes.write_bytes(b"".join(lines))
    calls = []
    grade_files(*files, CONFIG, progress=lambda *call: calls.append(call))
    assert calls[0] == (2, 1, 8)
    assert [v.status for v in read_records(files[2], Verdict)] == STATUSES


def test_a_kill_while_the_first_line_is_written_costs_nothing(files):
    grade_files(*files, CONFIG)
    head = notes_of(files[2]).read_bytes()
    for part in (b"", head[:7], head[:-1]):
        files[2].unlink(missing_ok=True)
        notes_of(files[2]).write_bytes(part)
        assert [v.status for v in grade_files(*files, CONFIG).verdicts] == STATUSES
        assert notes_of(files[2]).read_bytes() == head


def test_a_kill_between_the_output_and_the_end_changes_nothing(files):
    with pytest.raises(Stop):
        grade_files(*files, CONFIG, progress=stop_after(8))
    notes = notes_of(files[2]).read_bytes()
    grade_files(*files, CONFIG)
    finished = files[2].read_bytes()
    notes_of(files[2]).write_bytes(notes)
    calls = []
    grade_files(*files, CONFIG, progress=lambda *call: calls.append(call))
    assert calls == [] and files[2].read_bytes() == finished


def test_a_finished_grading_is_not_done_again(files):
    grade_files(*files, CONFIG)
    before, stat = files[2].read_bytes(), files[2].stat()
    calls = []
    graded = grade_files(*files, CONFIG, progress=lambda *call: calls.append(call))
    assert calls == [] and [v.status for v in graded.verdicts] == STATUSES
    assert files[2].read_bytes() == before and files[2].stat().st_ino == stat.st_ino


def test_what_an_earlier_round_graded_is_taken_over_where_the_answer_is_the_same(files, spaced):
    problems, _, out = files
    before, verdicts = spaced / "before.jsonl", spaced / "verdicts-before.jsonl"
    write_records(before, [sample("a", 0, "print(7)"), *SAMPLES[1:4]])
    grade_files(problems, before, verdicts, CONFIG)
    calls = []
    graded = grade_files(
        *files, CONFIG, progress=lambda *call: calls.append(call), earlier=(before, verdicts)
    )
    assert [v.status for v in graded.verdicts] == STATUSES
    assert calls == [(i, 3, 8) for i in range(4, 9)]  # the first answer is another by now
    assert read_records(out, Verdict)[1:4] == read_records(verdicts, Verdict)[1:4]


def test_how_verdicts_are_counted_is_no_other_grading(files):
    grade_files(*files, CONFIG)
    calls = []
    other = CONFIG.model_copy(update={"k": [1, 2]})
    grade_files(*files, other, progress=lambda *call: calls.append(call), workers=3)
    assert calls == []


def other_problems(files, config):
    write_records(files[0], [*PROBLEMS, replace(PROBLEMS[0], id="c")])
    return config


def other_samples(files, config):
    write_records(files[1], SAMPLES[:-1])
    return config


def other_settings(files, config):
    return config.model_copy(update={"wall_limit_factor": 2.0})


@pytest.mark.parametrize("finished", [False, True])
@pytest.mark.parametrize(
    ("change", "told"),
    [
        (other_problems, "other problems"),
        (other_samples, "other samples"),
        (other_settings, "wall_limit_factor 4.0 and not 2.0"),
    ],
)
def test_it_does_not_go_on_with_anything_else(files, change, told, finished):
    if finished:
        grade_files(*files, CONFIG)
    else:
        with pytest.raises(Stop):
            grade_files(*files, CONFIG, progress=stop_after(2))
    there = {path: path.read_bytes() for path in (files[2], notes_of(files[2])) if path.exists()}
    config = change(files, CONFIG)
    with pytest.raises(UserError, match=told) as error:
        grade_files(*files, config)
    assert "--restart" in str(error.value)
    assert there == {path: path.read_bytes() for path in there}
    graded = grade_files(*files, config, restart=True)
    assert [v.status for v in graded.verdicts] == STATUSES[: len(graded.verdicts)]
    assert read_records(files[2], Verdict) == graded.verdicts


def test_a_file_of_unknown_origin_is_not_written_over(files):
    files[2].write_text("mine\n")
    with pytest.raises(UserError, match="nothing beside it says"):
        grade_files(*files, CONFIG)
    assert files[2].read_text() == "mine\n"


def test_verdicts_changed_by_hand_are_noticed(files):
    grade_files(*files, CONFIG)
    files[2].write_text(files[2].read_text().replace('"index": 3', '"index": 33'))
    with pytest.raises(UserError, match="sample 33 of problem 'a' is not among"):
        grade_files(*files, CONFIG)


def test_an_infrastructure_error_is_tried_again_at_the_next_start(files):
    broken = replace(PROBLEMS[0], id="c", compare={"rule": "checker", "program": "1 / 0"})
    write_records(files[0], [*PROBLEMS, broken])
    write_records(files[1], [*SAMPLES[:2], sample("c", 7, "print(0)")])
    first = grade_files(*files, CONFIG).verdicts
    assert [v.status for v in first] == ["passed", "wrong_answer", "infrastructure_error"]
    assert read_records(files[2], Verdict) == first
    calls = []
    second = grade_files(*files, CONFIG, progress=lambda *call: calls.append(call)).verdicts
    assert calls == [(3, 2, 3)] and second[:2] == first[:2]


def test_two_do_not_grade_into_one_file(files):
    with notes_of(files[2]).open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process grades into"):
            grade_files(*files, CONFIG)
    assert len(grade_files(*files, CONFIG).verdicts) == 8


def test_a_lock_that_is_let_go_is_waited_for(files):
    other = notes_of(files[2]).open("a")
    fcntl.flock(other, fcntl.LOCK_EX)
    timer = threading.Timer(0.2, other.close)
    timer.start()
    assert len(grade_files(*files, CONFIG, wait_s=20).verdicts) == 8
    timer.join()


def test_a_sample_that_is_there_twice(files):
    write_records(files[1], [*SAMPLES, SAMPLES[3]])
    with pytest.raises(UserError, match="sample 1 of problem 'b' is there twice"):
        grade_files(*files, CONFIG)


def test_a_folder_that_is_missing(files):
    with pytest.raises(UserError, match="cannot be written"):
        grade_files(*files[:2], files[2].parent / "none" / "v.jsonl", CONFIG)


def test_nothing_is_left_open(files):
    grade_files(*files, CONFIG)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        grade_files(*files, CONFIG)
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_lacks_its_notes_is_graded_anew_in_a_further_round(files, spaced):
    problems, samples, _ = files
    verdicts = spaced / "before.verdicts.jsonl"
    grade_files(problems, samples, verdicts, CONFIG)
    verdicts.with_name(f"{verdicts.name}.grading").unlink()
    graded = grade_files(*files, CONFIG, earlier=(samples, verdicts))
    assert len(graded.verdicts) == len(read_records(samples, Sample))
