from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from valley.data.problems import Problem
from valley.errors import UserError
from valley.evaluate.grade_command import main
from valley.evaluate.samples import STATUSES, Sample, Verdict
from valley.records import read_records, record_line, write_records

EASY = Problem("easy", "test", "", [{"input": "1\n", "output": "2"}], flags=["mine"])
HARD = Problem("hard", "test", "", [{"input": "1\n", "output": "3"}])
RIGHT = "print(int(input()) + 1)"
PROGRAM = [sys.executable, "-m", "valley.evaluate.grade"]


def sample(problem, index, code):
    return Sample(problem.id, index, 0, f"```python\n{code}\n```", "stop", 1, 1)


@pytest.fixture
def arguments(spaced):
    """Two problems with two samples each, and the options that name the files."""
    write_records(spaced / "p.jsonl", [EASY, HARD])
    answers = [sample(p, i, RIGHT if i else "print(") for p in (EASY, HARD) for i in range(2)]
    write_records(spaced / "s.jsonl", answers)
    return [
        word
        for option, name in (("problems", "p"), ("samples", "s"), ("out", "v"))
        for word in (f"--{option}", str(spaced / f"{name}.jsonl"))
    ]


def test_it_works_alone_and_reports(arguments, spaced):
    words = [*arguments, "--workers", "2", "--k", "1,2", "--scores", str(spaced / "scores.json")]
    done = subprocess.run([*PROGRAM, *words], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""
    lines = [line.split() for line in done.stdout.splitlines()]
    assert "graded 4 samples of 2 problems" in done.stdout and "mode strict" in done.stdout
    assert ["passed", "1"] in lines and ["syntax_error", "2"] in lines
    assert ["problems", "pass@1", "pass@2"] in lines
    assert ["all", "problems", "2", "0.2500", "0.5000"] in lines
    assert ["without", "flagged", "ones", "1", "0.0000", "0.0000"] in lines
    assert ["flagged:", "mine", "1"] in lines
    verdicts = read_records(spaced / "v.jsonl", Verdict)
    statuses = ["syntax_error", "passed", "syntax_error", "wrong_answer"]
    assert [v.status for v in verdicts] == statuses
    scores = json.loads((spaced / "scores.json").read_text())
    assert scores["metrics"]["pass@2"] == 0.5 and scores["mode"] == "strict"


def test_its_help_names_every_option_and_status():
    text = " ".join(
        subprocess.run([*PROGRAM, "--help"], capture_output=True, text=True).stdout.split()
    )
    for word in ("--mode {strict,lcb}", "--restart", "kill -9", "exit status", "docs/grading.md"):
        assert word in text
    assert "example: python -m valley.evaluate.grade" in text


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--workers", "0"], "workers: 0 found"),
        (["--wall-limit-factor", "0"], "--wall-limit-factor 0.0: "),
        (["--k", "0"], "--k 0: "),
        (["--samples", "none.jsonl"], "none.jsonl: cannot be read"),
        (["--k", "one"], "numbers with commas"),
        (["--scores", "no folder/s.json"], "cannot be written (no folder no folder)"),
    ],
)
def test_mistakes(arguments, words, told):
    done = subprocess.run([*PROGRAM, *arguments, *words], capture_output=True, text=True)
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("restart", [[], ["--restart"]])
@pytest.mark.parametrize(
    ("option", "name", "of"),
    [
        ("--out", "s.jsonl", "the samples"),
        ("--out", "p.jsonl", "the problems"),
        ("--out", "s", "the samples"),  # whose notes would be
        ("--scores", "s.jsonl", "--samples"),
        ("--scores", "p.jsonl", "--problems"),
        ("--scores", "v.jsonl", "--out"),
        ("--scores", "v.jsonl.grading", "the notes on --out"),
    ],
)
def test_no_input_is_overwritten(arguments, spaced, option, name, of, restart):
    if name == "s":
        (spaced / "s.jsonl").rename(spaced / "s.grading")
        arguments[arguments.index("--samples") + 1] = str(spaced / "s.grading")
    before = {path: path.read_bytes() for path in spaced.iterdir()}
    with pytest.raises(UserError, match=f"this is the file of {of}, which it would overwrite"):
        main([*arguments, option, str(spaced / name), *restart])
    assert {path: path.read_bytes() for path in spaced.iterdir()} == before


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("p", "", "p.jsonl: holds no problem; expected valley.problem/1 records, one a line"),
        ("s", "", "s.jsonl: there are no samples to grade"),
        ("p", record_line(EASY), "s.jsonl, line 3: sample 0 is of problem 'hard'"),
        (
            "p",
            record_line(HARD) + record_line(replace(EASY, tests=[])),
            "line 2: problem 'easy': no",
        ),
        ("p", record_line(EASY).replace("6.0", '"6s"'), "p.jsonl, line 1: time_limit_s: found"),
        (
            "s",
            2 * record_line(sample(EASY, 0, RIGHT)),
            "line 2: sample 0 of problem 'easy' is ther",
        ),
    ],
)
def test_faults_of_the_files(arguments, spaced, file, content, told):
    (spaced / f"{file}.jsonl").write_text(content)
    with pytest.raises(UserError) as error:
        main(arguments)
    assert told in str(error.value)
    assert not (spaced / "v.jsonl").exists()


def test_a_part_of_a_set_is_graded_and_has_no_score(arguments, spaced, capsys):
    write_records(spaced / "s.jsonl", [sample(EASY, 0, RIGHT)])
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "passed" in out and "no score: problem 'hard' has 0 samples" in out
    assert main([*arguments, "--scores", str(spaced / "scores.json")]) == 2
    assert "scores.json: not written" in capsys.readouterr().err
    assert not (spaced / "scores.json").exists() and (spaced / "v.jsonl").exists()


def test_what_the_grader_could_not_run_is_told_apart(arguments, spaced, capsys):
    compare = {"rule": "checker", "program": "1 / 0"}
    write_records(spaced / "p.jsonl", [replace(EASY, compare=compare), HARD])
    write_records(spaced / "s.jsonl", [sample(p, 0, RIGHT) for p in (EASY, HARD)])
    assert main(arguments) == 1
    shown = capsys.readouterr()
    assert "could not run 1 of 2 programs" in shown.err
    statuses = [v.status for v in read_records(spaced / "v.jsonl", Verdict)]
    assert statuses == ["infrastructure_error", "wrong_answer"]


def test_killed_at_any_moment_and_started_again_it_writes_the_same(arguments, spaced):
    codes = [f"import time\ntime.sleep(0.02)\nprint({i} % 5)" for i in range(30)]
    write_records(
        spaced / "s.jsonl",
        [sample(p, i, code) for i, code in enumerate(codes) for p in (EASY, HARD)],
    )
    whole = spaced / "whole.jsonl"
    done = subprocess.run([*PROGRAM, *arguments, "--out", str(whole)], capture_output=True)
    assert done.returncode == 0
    out, notes = spaced / "v.jsonl", spaced / "v.jsonl.grading"
    finished, kills = -1, 0
    while not out.exists():
        process = subprocess.Popen(
            [*PROGRAM, *arguments, "--workers", "2"], stdout=subprocess.DEVNULL
        )
        # Killed as soon as it has got a little further, in the middle of whatever it is at.
        while process.poll() is None:
            lines = notes.read_bytes().count(b"\n") if notes.exists() else 0
            if lines > finished + 12:
                process.send_signal(signal.SIGKILL)
                process.wait()
                finished, kills = lines, kills + 1
            time.sleep(0.005)
    assert kills >= 3
    assert without_times(out) == without_times(whole)
    assert {v.status for v in read_records(out, Verdict)} <= set(STATUSES)
    keys = [list(json.loads(line)) for line in out.read_text().splitlines()]
    assert keys == [list(json.loads(line)) for line in whole.read_text().splitlines()]


def without_times(path):
    return [replace(v, cpu_s=0.0, wall_s=0.0) for v in read_records(path, Verdict)]


def test_on_a_terminal_progress_is_one_line(arguments, spaced):
    write_records(
        spaced / "s.jsonl",
        [sample(EASY, i, "import time\ntime.sleep(0.3)\nprint(2)") for i in range(3)],
    )
    write_records(spaced / "p.jsonl", [EASY])
    ours, theirs = pty.openpty()
    with subprocess.Popen([*PROGRAM, *arguments], stdout=subprocess.DEVNULL, stderr=theirs) as done:
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:
                break
    os.close(ours)
    assert done.returncode == 0
    assert b"graded 1 of 3 (" in shown and b"graded 3 of 3 (" in shown
    assert b"\n" not in shown and shown.endswith(b"\r\x1b[K")


@pytest.mark.slow
def test_tests_stream_from_the_disk(spaced, arguments):
    """100 problems of 100 tests with 100 KB in and 100 KB out, 2 GB in all."""
    numbers = "\n".join(str(i % 10) for i in range(50_000))
    tests = [{"input": f"{i}\n{numbers}", "output": f"{i}\n{numbers}"} for i in range(100)]
    problems = [Problem(str(i), "test", "", tests, time_limit_s=20) for i in range(100)]
    write_records(spaced / "p.jsonl", problems)
    assert (spaced / "p.jsonl").stat().st_size > 2e9
    copies = "import sys\nsys.stdout.write(sys.stdin.read())"
    write_records(spaced / "s.jsonl", [sample(p, 0, copies) for p in problems])
    measured = (
        "import sys\nfrom valley.evaluate.grade_command import main\nmain(sys.argv[1:])\n"
        # Not getrusage: its peak is that of the process which this one was forked from as well.
        "print(*[x.split()[1] for x in open('/proc/self/status') if x.startswith('VmHWM')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", measured, *arguments, "--workers", "2"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.splitlines()[-1]) < 400 << 10  # KiB
    assert {v.status for v in read_records(spaced / "v.jsonl", Verdict)} == {"passed"}
