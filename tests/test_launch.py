"""The launcher on one machine, as its users run it: real processes, real trainings, real gradings."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sweeping import MINI, REPOSITORY, command, launch, results, status

from valley.evaluate.per_problem import arrays

pytestmark = pytest.mark.xdist_group("launch")


def test_a_sweep_runs_to_its_end(finished):
    _, root, said = finished
    assert "0 failed" in said and "cells: 5 done, 0 running, 0 waiting of 5" in said
    rows = status(root)
    assert len(rows) == 10 and {row["state"] for row in rows} == {"done"}
    for result in results(root, "grade").values():
        outcome = result["outcome"]
        assert arrays(outcome)["samples"].tolist() == [1] * 10
        assert outcome["metrics"]["infrastructure_errors"] == 0
        assert result["provenance"]["snapshot"] and result["cost"]["wall_s"] > 0
    strata = next(
        r["outcome"]["strata"]
        for r in results(root, "prepare").values()
        if "strata" in r["outcome"]
    )
    assert strata["all/correct"] + strata["all/incorrect"] == strata["all/all"] == 60
    assert 0 < strata["all/incorrect"] <= 6


def test_checkpoints_are_hugging_face_folders(finished):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    _, root, _ = finished
    folders = [path.parent for path in root.glob("store/*/*/*/model/config.json")]
    assert len(folders) == 6
    for folder in folders:
        model = AutoModelForCausalLM.from_pretrained(folder)
        tokenizer = AutoTokenizer.from_pretrained(folder)
        text = "Read an integer x, add 3, and print the result modulo 10."
        tokens = tokenizer.apply_chat_template(
            [{"role": "user", "content": text}], add_generation_prompt=True, return_tensors="pt"
        )
        assert model(**tokens).logits.shape[-1] >= len(tokenizer)
        assert tokenizer.decode(tokens["input_ids"][0], skip_special_tokens=True).startswith(
            "Read an"
        )
        assert tokenizer.unk_token_id not in tokens["input_ids"][0].tolist()


def test_a_second_launch_does_nothing_quickly(finished):
    grid, root, _ = finished

    def written():
        # The journal alone notes each launch.
        paths = (path for path in root.rglob("*") if path.name != "journal.jsonl")
        return {path: path.stat().st_mtime_ns for path in paths}

    before = written()
    took_s = []
    for _ in range(3):  # the quickest of three, since other tests share the machine
        started = time.monotonic()
        done = launch(grid, root)
        took_s.append(time.monotonic() - started)
        assert done.returncode == 0 and "nothing to do: all 5 cells are done" in done.stdout
    assert min(took_s) < 2
    assert written() == before


def test_the_sweep_as_it_was_launched_is_a_grid_of_its_own(finished, spaced):
    _, root, _ = finished
    done = launch(root / "sweeps" / "mini" / "sweep.yaml", root, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "0 jobs to run" in done.stdout
    done = launch(
        root / "sweeps" / "mini" / "sweep.yaml",
        spaced,
        "--set",
        "seed=3",
        "--set",
        "stages={1: {}}",
    )
    assert done.returncode == 2 and "stages" in done.stderr  # the overrides are applied and checked


def test_a_part_leaves_the_sweep_whole(finished):
    grid, root, _ = finished
    done = launch(grid, root, "--where", "stage=1", "--where", "size=8,16")
    assert done.returncode == 0 and "nothing to do: all 2 cells are done" in done.stdout
    assert len(status(root)) == 10


def test_the_sweep_that_was_launched_last_is_the_one_that_is_shown(copy):
    grid, root = copy
    other = grid.with_name("other.yaml")
    other.write_text(MINI.replace("name: mini", "name: other").replace("[0, 8, 16]", "[0, 8]"))
    assert launch(other, root).returncode == 0
    shown = command("sweeps/status.py", root=root).stdout
    assert "sweep other" in shown
    assert "nothing to do" in launch(grid, root).stdout
    assert "sweep mini" in command("sweeps/status.py", root=root).stdout


def test_a_dry_run_shows_the_plan_and_writes_nothing(spaced):
    (spaced / "grid.yaml").write_text(MINI)
    done = launch(spaced / "grid.yaml", spaced / "runs", "--dry-run")
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert sum(line[:2] == ["submit", "train"] for line in lines) == 5
    assert sum(line[:2] == ["submit", "grade"] for line in lines) == 10
    assert "dry run: nothing was submitted" in done.stdout
    assert not (spaced / "runs").exists()


def test_planning_status_and_their_help_need_no_torch(finished):
    grid, root, _ = finished
    for script, arguments in (
        ("sweeps/launch.py", [str(grid), "--dry-run", "--cluster", "local"]),
        ("sweeps/status.py", []),
        ("analysis/plot_valley.py", []),
    ):
        code = (
            "import runpy, sys\n"
            f"sys.argv = {[script, *arguments, '--root', str(root)]!r}\n"
            "sys.path.insert(0, sys.argv[0].split('/')[0])\n"
            "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
            "except SystemExit as end:\n    assert not end.code, end.code\n"
            "heavy = {'torch', 'transformers', 'deepspeed', 'vllm'} & sys.modules.keys()\n"
            "assert not heavy, heavy"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def test_a_changed_recipe_runs_only_what_it_touches(finished):
    grid, root, _ = finished
    done = launch(grid, root, "--dry-run", "--set", "generate.profiles.greedy={max_tokens: 20}")
    actions = [
        line.split()[:2] for line in done.stdout.splitlines() if line.startswith(("submit", "done"))
    ]
    assert actions.count(["submit", "generate"]) == actions.count(["submit", "grade"]) == 5
    assert actions.count(["done", "train"]) == 5 and ["submit", "train"] not in actions


def test_grading_and_evaluation_train_nothing_anew(finished):
    grid, root, _ = finished

    def submitted(setting):
        said = launch(grid, root, "--dry-run", "--set", setting).stdout.splitlines()
        kinds = [line.split()[1] for line in said if line.startswith("submit")]
        return {kind: kinds.count(kind) for kind in set(kinds)}

    assert submitted("grade.output_limit_kib=99") == {"grade": 10}
    assert submitted("data.evaluation_problems=9") == {"prepare": 2, "generate": 10, "grade": 10}


def test_who_only_looks_leaves_a_damaged_result_where_it_is(copy):
    grid, root = copy
    victim = next(root.glob("store/grade/*/*n8-easy*-direct*/result.json"))
    victim.write_text("{")
    looked = command("sweeps/status.py", root=root)
    assert "damaged" in looked.stderr and "not counted" in looked.stderr
    dry = launch(grid, root, "--dry-run")
    assert "damaged" in dry.stderr and "1 jobs to run" in dry.stdout
    assert "its result is damaged: not counted" in dry.stdout
    assert victim.read_text() == "{" and len(list(victim.parent.glob("result*"))) == 1


def test_a_root_that_is_a_file_is_refused(spaced):
    (spaced / "grid.yaml").write_text(MINI)
    (spaced / "file").write_text("")
    done = launch(spaced / "grid.yaml", spaced / "file" / "runs")
    assert done.returncode == 2 and "is a file" in done.stderr
    assert "Traceback" not in done.stderr


def test_damaged_results_are_reported_and_computed_again(copy):
    grid, root = copy
    before = results(root, "grade")
    victim = next(root.glob("store/grade/*/*n8-easy*-direct*/result.json"))
    victim.write_text(victim.read_text()[:99])
    manifest = root / "sweeps/mini/manifest.jsonl"
    manifest.write_text("{" + manifest.read_text())
    done = launch(grid, root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "damaged" in done.stderr and "set aside as result.json.damaged-1" in done.stderr
    assert "manifest.jsonl.damaged-1" in done.stderr
    assert "1 jobs done" in done.stdout
    after = results(root, "grade")
    assert {k: v["outcome"] for k, v in after.items()} == {
        k: v["outcome"] for k, v in before.items()
    }
    assert len(status(root)) == 10


def test_a_failure_stops_no_sibling_and_runs_again_only_when_asked(copy):
    grid, root = copy
    settings = [
        "--set",
        "grid=[{size: [0, 8]}, {size: 8, train.learning_rate: 1.0e+30, train.steps: 9}]",
    ]
    done = launch(grid, root, *settings)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the training diverged" in done.stdout
    last = done.stdout.splitlines()[-1]
    assert "by the same command" in last and last.endswith("outside them with --retry failed")
    rows = status(root)
    states = {row["cell"]: row["state"] for row in rows}
    assert sorted(states.values()) == ["done", "done", "failed"]
    failed = next(row for row in rows if row["state"] == "failed")
    log = Path(failed["log"]).read_text()
    before, said, _ = log.partition("UserError: the training diverged")
    # What comes after is the element's own, that no job succeeded.
    assert said and "Traceback" not in before
    again = launch(grid, root, *settings)
    assert again.returncode == 1 and "nothing to do, but 1 jobs have failed" in again.stdout
    assert failed["log"] in again.stdout
    retried = launch(grid, root, *settings, "--retry", "failed")
    assert retried.returncode == 1 and "3 jobs to run" not in again.stdout
    assert "to run" in retried.stdout and "the training diverged" in retried.stdout


def test_a_failed_preparation_shows_in_every_cell_with_its_log(spaced):
    """Files of one's own, one of which is wrong in a way that only reading it shows."""
    problem = {
        "schema": "valley.problem/1",
        "source": "mine",
        "tests": [{"input": "", "output": "1"}],
    }
    for name in ("evaluation", "problems"):
        line = {**problem, "id": name, "statement": f"Print one, for {name}."}
        (spaced / f"{name}.jsonl").write_text(json.dumps(line) + "\n")
    trace = {"schema": "valley.trace/1", "id": "t", "thinking": "", "answer": "print(1)"}
    traces = spaced / "traces.jsonl"
    traces.write_text(json.dumps({**trace, "problem_id": "nowhere"}) + "\n")
    files = {name: str(spaced / f"{name}.jsonl") for name in ("evaluation", "problems", "traces")}
    grid = spaced / "grid.yaml"
    grid.write_text(MINI)
    settings = [
        "--set",
        f"data={json.dumps({'source': 'jsonl', **files})}",
        "--set",
        "grid=[{size: [0, 1]}]",
    ]
    settings += ["--set", "students.tiny.first_lessons=null"]
    done = launch(grid, spaced / "runs", *settings)
    assert done.returncode == 1, done.stdout + done.stderr
    rows = status(spaced / "runs")
    assert len(rows) == 4 and {(row["state"], row["kind"]) for row in rows} == {
        ("failed", "prepare")
    }
    assert "its problem 'nowhere' is not in the pool" in rows[0]["reason"]
    assert "'nowhere' is not in the pool" in Path(rows[0]["log"]).read_text()
    assert {row["failure"] for row in rows} == {"data_missing"}
    assert "'nowhere' is not in the pool" in rows[0]["line"] and "--retry" in rows[0]["action"]
    # By itself it is not tried again, nor by the name of another class.
    for arguments in ([], ["--retry", "oom"]):
        again = launch(grid, spaced / "runs", *settings, *arguments)
        assert again.returncode == 1 and "nothing to do, but 1 jobs have failed" in again.stdout
        assert "next: put the file" in again.stdout
    assert not list(spaced.glob("runs/store/*/*/*/attempts.jsonl"))
    assert launch(grid, spaced / "runs", *settings, "--retry", "all").returncode == 1
    (attempts,) = spaced.glob("runs/store/*/*/*/attempts.jsonl")
    attempt = json.loads(attempts.read_text())
    assert attempt["why"] == "data_missing" and attempt["began"] < attempt["ended"]


def test_a_launcher_that_is_stopped_goes_on_where_it_was(finished, spaced):
    """Interrupted when the first training is done, then killed amid the next."""
    grid, whole, _ = finished
    root = spaced / "runs"
    with started(grid, root) as launcher:
        before = results_when(root, "train", 1)
        os.killpg(launcher.pid, signal.SIGINT)
        assert "interrupted: finished jobs are kept" in launcher.communicate(timeout=60)[0]
        assert launcher.returncode == 130
    with started(grid, root) as launcher:
        before |= results_when(root, "train", 2)
        launcher.kill()
    last = launch(grid, root)
    assert last.returncode == 0, last.stdout + last.stderr
    for path, at in before.items():
        assert path.stat().st_mtime_ns == at
    outcomes = {name: r["outcome"]["per_problem"] for name, r in results(whole, "grade").items()}
    assert {
        name: r["outcome"]["per_problem"] for name, r in results(root, "grade").items()
    } == outcomes


def started(grid, root):
    """A launcher that runs in the background, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "sweeps/launch.py", str(grid), "--cluster", "local", "--root", str(root)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def results_when(root, kind, count):
    """When each result was written, as soon as there are so many of a kind."""
    deadline = time.monotonic() + 120
    while len(list(root.glob(f"store/{kind}/*/*/result.json"))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return {p: p.stat().st_mtime_ns for p in root.glob("store/*/*/*/result.json")}


def test_a_second_launcher_is_told_of_the_first(finished, spaced):
    grid, _, _ = finished
    root = spaced / "runs"
    root.mkdir()
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time; from pathlib import Path; from valley.root_lock import root_lock\nwith root_lock(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)",
            str(root),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert holder.stdout.readline() == "held\n"
        done = launch(grid, root)
        assert done.returncode == 2
        assert f"another launcher is at work (process {holder.pid}" in done.stderr
    finally:
        holder.kill()
        holder.wait()
        holder.stdout.close()
    # Its owner is dead now, so the lock is taken over.
    done = launch(grid, root, "--dry-run")
    assert done.returncode == 0


BAD = {
    "no such grid": (None, [], r"no such grid here or in sweeps/"),
    "size beyond the pool": (MINI, ["--set", "size=61"], "size 61 is larger than the pool"),
    "missing model": (
        MINI,
        ["--set", "students={m: {source: folder, path: ./nowhere}}"],
        "no model at './nowhere'",
    ),
    "unknown key": (MINI + "\nfoo: 1\n", [], "foo: unknown key"),
    "too many CPUs": (MINI, ["--set", "resources.train.cpus_per_task=999"], "asks for 999 CPUs"),
    "several nodes here": (
        MINI,
        ["--set", "resources.train={nodes: 2}"],
        "this is one machine",
    ),
    "more memory than there is": (
        MINI,
        ["--set", "resources.prepare.memory_gib=100000"],
        "memory",
    ),
    "more CPUs than there are": (
        MINI,
        ["--set", "resources.grade.cpus_per_task=5000"],
        "resources.grade",
    ),
}


@pytest.mark.parametrize("text, arguments, message", BAD.values(), ids=BAD.keys())
def test_bad_input_ends_with_one_message_before_anything_runs(spaced, text, arguments, message):
    grid = spaced / "grid.yaml"
    if text:
        grid.write_text(text)
    done = launch(grid, spaced / "runs", *arguments)
    assert done.returncode == 2, done.stdout
    assert message in done.stderr and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not list(spaced.glob("runs/store/*"))


def test_a_launch_without_a_grid_names_those_that_ship_with_a_line_each(spaced):
    done = command("sweeps/launch.py", root=spaced)
    assert done.returncode == 2 and not done.stdout
    head, *lines = done.stderr.splitlines()
    assert head.startswith("error: no grid; give one of these")
    said = dict(line.split(maxsplit=1) for line in lines)
    assert said.keys() == {path.name for path in REPOSITORY.glob("sweeps/*.yaml")}
    assert said["grid.yaml"].startswith("The default sweep: ")


def test_status_without_a_sweep_says_what_to_do(spaced):
    done = command("sweeps/status.py", root=spaced)
    assert done.returncode == 2 and "run `python sweeps/launch.py grid.yaml` first" in done.stderr


def test_a_job_runs_in_the_foreground(copy):
    _, root = copy
    job = next(root.glob("store/grade/*/*n16*-greedy*/job.json"))
    before = json.loads((job.parent / "result.json").read_text())
    (job.parent / "result.json").unlink()
    done = subprocess.run(
        [sys.executable, "jobs/grade.py", str(job)], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads((job.parent / "result.json").read_text())["outcome"] == before["outcome"]
