"""What the launcher plans and says without running anything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweeping import MINI, REPOSITORY, command, launch

SHIPPED = sorted(path.name for path in (REPOSITORY / "sweeps").glob("*.yaml"))
# No Slurm, no packages of models and problems: a machine on which nothing has been prepared.
BARE = {"PATH": str(Path(sys.executable).parent)}


@pytest.fixture
def grid(spaced):
    path = spaced / "grid.yaml"
    path.write_text(MINI)
    return path


def dry_run(grid, root, *arguments, **options):
    return command("sweeps/launch.py", str(grid), "--dry-run", *arguments, root=root, **options)


def submitted(said, kind):
    return [line.split()[2] for line in said.splitlines() if line.split()[:2] == ["submit", kind]]


@pytest.mark.parametrize("name", SHIPPED)
def test_the_grids_that_ship_dry_run_anywhere(spaced, name):
    done = dry_run(name, spaced / "runs", env=BARE)
    assert done.returncode == 0, done.stderr
    assert "dry run: nothing was submitted" in done.stdout and not done.stderr
    assert not (spaced / "runs").exists()


def test_the_papers_grid_has_the_papers_runs(spaced):
    done = dry_run("paper.yaml", spaced / "runs", env=BARE)
    trained = submitted(done.stdout, "train")
    assert len([label for label in trained if label.startswith("qwen")]) == 11
    assert len([label for label in trained if label.startswith("llama")]) == 3
    files = ("ocr2_problems.jsonl", "ocr2_traces.jsonl", "TACO", "taco_traces.jsonl")
    for file in ("livecodebench", *files):
        path = REPOSITORY / "data" / file
        assert done.stdout.count(f"before launching: {path} is missing\n") == 1
    assert "before launching: sbatch is not installed" in done.stdout
    # What nobody knows yet is not told as a fact.
    assert "251 problems (assumed: their file is missing) x 16 answers" in done.stdout
    assert "number of evaluation problems is unknown, since their file is missing" in done.stdout
    assert "GiB more to resume from" in done.stdout and "cluster.array_throttle" in done.stdout


def test_a_launch_refuses_what_a_dry_run_only_names(spaced):
    done = launch("paper.yaml", spaced / "runs", "--set", "resources={}")
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
    assert "data.evaluation: " in done.stderr and "data/livecodebench is missing" in done.stderr
    done = command("sweeps/launch.py", "paper.yaml", root=spaced / "runs", env=BARE)
    assert done.returncode == 2 and "--cluster slurm: sbatch is not installed" in done.stderr
    assert not list(spaced.glob("runs/*"))


def test_a_file_that_is_there_is_read_by_a_dry_run_too(spaced):
    (spaced / "test.jsonl").write_text("{}\n")
    done = dry_run("paper.yaml", spaced / "runs", "--set", f"data.evaluation.path={spaced}")
    assert done.returncode == 2 and "none of the files expected: test2.jsonl" in done.stderr


def test_a_student_that_is_missing_is_named_by_a_dry_run(grid, spaced):
    students = {"m": {"source": "folder", "path": str(spaced / "nowhere"), "parameters_million": 9}}
    setting = ["--set", f"students={json.dumps(students)}"]
    done = dry_run(grid, spaced / "runs", *setting)
    assert done.returncode == 0, done.stderr
    assert "before launching: students.m.path: no model at" in done.stdout


def test_a_part_is_planned_with_what_it_needs(grid, spaced):
    done = dry_run(grid, spaced / "runs", "--where", "stage=2", "--where", "difficulty!=hard")
    assert submitted(done.stdout, "train") == [
        "tiny-first-lessons",
        "tiny-t1-n16-seed0",  # what stage 2 starts from
        "tiny-t2-n8-easy-seed0",
    ]
    assert len(submitted(done.stdout, "grade")) == 2 and "mini: 1 cell on" in done.stdout


def test_a_part_that_holds_nothing_is_an_error(grid, spaced):
    done = dry_run(grid, spaced / "runs", "--where", "size=7")
    assert done.returncode == 2
    assert "--where size=7: no such cell; the axes here: student, stage, size," in done.stderr
    assert done.stderr.endswith("; size here: 0, 8, 16\n")
    done = dry_run(grid, spaced / "runs", "--where", "train.lr=1")
    assert done.returncode == 2 and done.stderr.endswith("; train.lr is none of them\n")
    done = dry_run(grid, spaced / "runs", "--where", "size==0", "--where", "stage=2")
    assert done.stderr.endswith("; no cell meets all of the conditions\n")
    done = dry_run(grid, spaced / "runs", "--where", "sise=7")
    assert done.returncode == 2 and "unknown axis" in done.stderr


def test_what_was_left_out_is_told(grid, spaced):
    setting = (
        "grid=[{size: [8, 16], seed: [0, 1], exclude: [{seed: 1, size: 16, reason: too dear}]}]"
    )
    done = dry_run(grid, spaced / "runs", "--set", setting)
    assert "1 cell left out (seed=1 size=16): too dear\n" in done.stdout and not done.stderr
    done = dry_run(grid, spaced / "runs", "--set", "grid=[{size: 8, exclude: [{size: 16}]}]")
    assert "warning: --set grid=" in done.stderr and "leaves out nothing" in done.stderr


def test_what_no_cell_uses_is_told(grid, spaced):
    settings = ["--set", "grid=[{size: 8}]", "--set", "students.spare={source: tiny}"]
    said = dry_run(grid, spaced / "runs", *settings).stdout
    assert "unused: students.spare: no cell has this student\n" in said
    assert "unused: stages.2: no cell has this stage\n" in said
    assert "unused: " not in dry_run(grid, spaced / "runs").stdout


def test_samples_that_are_one_answer_are_told(grid, spaced):
    profiles = "generate.profiles={same: {samples: 4}, drawn: {samples: 4, temperature: 0.6}}"
    said = dry_run(grid, spaced / "runs", "--set", profiles).stdout
    assert "generate.profiles.same: 4 samples at temperature 0 are one answer as often" in said
    assert "profiles.drawn" not in said


def test_a_missing_file_says_from_where_its_path_is_taken(grid, spaced):
    data = "data={source: jsonl, evaluation: e.jsonl, problems: p.jsonl, traces: t.jsonl}"
    setting = ["--set", data, "--set", "students.tiny.first_lessons=null"]
    said = dry_run(grid, spaced / "runs", *setting).stdout
    assert f"relative paths of data start from the folder you launch in: {REPOSITORY}\n" in said


def test_scripts_are_not_printed_by_a_dry_run(grid, spaced):
    done = dry_run(grid, spaced / "runs", "--print-scripts", str(spaced / "scripts"))
    assert done.returncode == 2 and "leave one of them out" in done.stderr
    assert not (spaced / "scripts").exists()


def test_a_long_plan_is_folded(grid, spaced):
    seeds = ["--set", "seed={range: [0, 100]}"]
    folded = dry_run(grid, spaced / "runs", *seeds).stdout
    assert "tiny-t1-n8-seed0 and 199 more" in folded and "--all gives each a row" in folded
    assert len(folded.splitlines()) < 40
    every = dry_run(grid, spaced / "runs", *seeds, "--all").stdout
    assert len(submitted(every, "train")) == 401
    assert folded.splitlines()[-1] == every.splitlines()[-1]


def test_a_dry_run_plans_for_a_larger_machine_and_says_so(grid, spaced):
    larger = ["--set", "resources.grade.cpus_per_task=5000"]
    done = dry_run(grid, spaced / "runs", *larger, env=BARE)
    assert done.returncode == 0 and "1x1x5000 CPU" in done.stdout
    assert "before launching: resources.grade asks for 5000 CPUs" in done.stdout


def test_the_schema_is_printed_without_a_grid():
    done = subprocess.run(
        [sys.executable, "sweeps/launch.py", "--schema"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        env=dict(os.environ),
    )
    assert (
        done.returncode == 0 and done.stdout == (REPOSITORY / "docs/grid.schema.json").read_text()
    )


def test_a_large_grid_is_planned_quickly(grid, spaced):
    setting = "grid=[{size: {range: [1, 21]}, seed: {range: [0, 1000]}}]"
    started = time.monotonic()
    done = dry_run(grid, spaced / "runs", "--set", setting)
    took_s = time.monotonic() - started
    assert done.returncode == 0, done.stderr
    assert "mini: 20000 cells" in done.stdout
    # About a second where nothing else runs; other tests share the machine.
    assert took_s < 15
