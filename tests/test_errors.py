"""How commands end, as a shell sees it; the pipes are real, and closed by their reader."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from status_world import StatusWorld
from sweeping import MINI, REPOSITORY

AT_WORK = """
import sys
from pathlib import Path
from valley.errors import UserError, exit_on_user_error

def main():
    for line in range(100_000):
        print("at work", line)
        print("at work", line, file=sys.stderr)
    Path(sys.argv[1]).write_text("done")
    {end}

exit_on_user_error(main)
"""


def left_alone(*arguments):
    """A command whose reader leaves before the first line; its status."""
    command = [sys.executable, *map(str, arguments)]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        process.stdout.close()
        return process.wait(timeout=120)


@pytest.mark.parametrize(
    ("end", "status"), [("return 0", 0), ("return 3", 3), ("raise UserError('no')", 2)]
)
def test_a_command_goes_on_without_its_reader_and_ends_with_its_own_status(spaced, end, status):
    work = spaced / "work"
    assert left_alone("-c", AT_WORK.format(end=end), work) == status
    assert work.read_text() == "done"


def test_a_broken_pipe_of_the_work_itself_is_no_success(spaced):
    code = (
        "import os\nfrom valley.errors import exit_on_user_error\n"
        "def main():\n    r, w = os.pipe()\n    os.close(r)\n    os.write(w, b'x')\n    return 0\n"
        "exit_on_user_error(main)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and "BrokenPipeError" in done.stderr


def test_a_launch_without_its_reader_runs_to_its_own_end(spaced):
    grid = spaced / "grid.yaml"
    grid.write_text(MINI)
    # The preparation fails, so that the end is near and is no success.
    problem = {
        "schema": "valley.problem/1",
        "source": "mine",
        "tests": [{"input": "", "output": "1"}],
    }
    trace = {
        "schema": "valley.trace/1",
        "id": "t",
        "thinking": "",
        "answer": "",
        "problem_id": "no",
    }
    for name in ("evaluation", "problems"):
        text = json.dumps({**problem, "id": name, "statement": f"Print one, for {name}."})
        (spaced / f"{name}.jsonl").write_text(text)
    (spaced / "traces.jsonl").write_text(json.dumps(trace))
    files = {name: str(spaced / f"{name}.jsonl") for name in ("evaluation", "problems", "traces")}
    settings = [f"data={json.dumps({'source': 'jsonl', **files})}", "grid=[{size: [0, 1]}]"]
    settings += ["students.tiny.first_lessons=null"]
    arguments = [word for setting in settings for word in ("--set", setting)]
    arguments += ["--cluster", "local", "--root", spaced / "runs"]
    assert left_alone("sweeps/launch.py", grid, *arguments) == 1
    assert list(spaced.glob("runs/store/prepare/*/*/failed.json"))


def test_a_status_that_nobody_watches_ends(spaced):
    world = StatusWorld(spaced)
    world.cell(8)
    world.write()
    world.running("train", "tiny-n8-stage1")
    assert left_alone("sweeps/status.py", "--watch", "0.1", "--root", spaced) == 0
