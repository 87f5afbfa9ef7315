"""Pruning and rebuilding, and a result's lock, on a sweep that has been run for real."""

from __future__ import annotations

import hashlib
import json

import pytest
from sweeping import MINI, command, copy_beginning, launch, results, status

from valley.processes import this_process
from valley.records import write_json
from valley.root_lock import root_lock

pytestmark = pytest.mark.xdist_group("launch")

THIRD = ["--set", "generate.profiles.third={max_tokens: 12}", "--set", "grid=[{size: [0, 8]}]"]


def weights(root):
    """A digest of every checkpoint's weights, by the name of its job's folder."""
    return {
        path.parent.parent.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in root.glob("store/*/*/*/model/model.safetensors")
    }


def prune(root, *arguments):
    done = command("sweeps/prune.py", *arguments, root=root)
    assert "Traceback" not in done.stderr
    return done


def test_weights_go_when_they_are_told_to_and_nothing_else_does(copy):
    _, root = copy
    files = {p: p.read_bytes() for p in root.rglob("*") if p.is_file() and "model" not in p.parts}
    before = weights(root)
    shown = prune(root)
    assert prune(root, "--dry-run").stdout == shown.stdout
    assert shown.returncode == 0 and weights(root) == before
    assert "in 6 of 6 checkpoints" in shown.stdout and "--apply removes it" in shown.stdout
    assert sum(line.startswith("prune ") for line in shown.stdout.splitlines()) == 6
    assert not list(root.rglob("pruned.json"))
    done = prune(root, "--apply")
    assert done.returncode == 0 and done.stdout.splitlines()[-1].startswith("removed")
    assert not weights(root) and len(list(root.rglob("pruned.json"))) == 6
    assert {p: p.read_bytes() for p in files} == files
    # A finished sweep stays finished.
    assert {row["state"] for row in status(root)} == {"done"}
    again = prune(root, "--apply").stdout.splitlines()
    assert len(again) == 1 and again[0].startswith("nothing to prune: no weights"), again


def test_what_was_pruned_is_rebuilt_for_a_new_profile_and_equal_to_before(copy):
    grid, root = copy
    before, trained = weights(root), results(root, "train")
    assert prune(root, "--apply").returncode == 0
    assert "nothing to do" in launch(grid, root).stdout
    dry = launch(grid, root, "--dry-run", *THIRD).stdout
    rebuilds = [line for line in dry.splitlines() if line.startswith("rebuild ")]
    # The cell's training, the first lessons and the student, and the line of each kind's price.
    assert len(rebuilds) == 3 + 2, dry
    assert any(
        "weights were pruned, and generate tiny-t1-n8-seed0-third needs" in r for r in rebuilds
    )
    assert any(line.split()[:3] == ["rebuild", "train", "2"] for line in rebuilds)
    done = launch(grid, root, *THIRD)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of those to run for weights that were pruned" in done.stdout
    rebuilt = weights(root)
    assert len(rebuilt) == 3 and rebuilt.items() <= before.items()
    assert len(list(root.rglob("pruned.json"))) == 3
    again = results(root, "train")
    assert {name: r["outcome"]["loss_last"] for name, r in again.items()} == {
        name: r["outcome"]["loss_last"] for name, r in trained.items()
    }
    rows = status(root)
    assert len(rows) == 6 and {row["state"] for row in rows} == {"done"}


def test_what_a_cell_that_is_not_done_needs_stays(copy):
    grid, root = copy
    child = next(root.glob("store/generate/*/*t2-n8-easy*-direct*"))
    for name in ("generate", "grade"):
        next(root.glob(f"store/{name}/*/*t2-n8-easy*-direct*/result.json")).unlink()
    shown = prune(root, "--apply")
    kept = [line for line in shown.stdout.splitlines() if line.startswith("keep ")]
    assert len(kept) == 1 and "train tiny-t2-n8-easy-seed0" in kept[0]
    assert f"generate {child.name.rpartition('-')[0]} of sweep mini is not done" in kept[0]
    assert len(weights(root)) == 1
    done = launch(grid, root)
    assert done.returncode == 0 and "2 jobs done" in done.stdout, done.stdout


def test_a_part_is_pruned(copy):
    _, root = copy
    shown = prune(root, "mini", "--where", "size=16")
    lines = [line for line in shown.stdout.splitlines() if line.startswith("prune ")]
    assert ["n16" in line for line in lines].count(True) == 1
    assert len(lines) == 3, "the cell's own, the first lessons and the student"
    nothing = prune(root, "mini", "--where", "size=999", "--apply")
    assert "nothing to prune: no weights of these cells" in nothing.stdout
    assert len(weights(root)) == 6
    wrong = prune(root, "--where", "colour=red")
    assert wrong.returncode == 2 and "colour" in wrong.stderr
    assert prune(root, "nosuch").returncode == 2


def test_what_a_running_job_reads_stays_though_no_cell_is_planned_for_it_any_more(copy):
    _, root = copy
    running = next(root.glob("store/generate/*/*t1-n16*-greedy*"))
    (running / "result.json").unlink()
    write_json(running / "running.json", this_process())
    manifest = root / "sweeps/mini/manifest.jsonl"
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(line for line in lines if running.name not in line))
    kept = [line for line in prune(root, "--apply").stdout.splitlines() if line.startswith("keep")]
    assert len(kept) == 1 and "train tiny-t1-n16-seed0" in kept[0]
    assert "generate tiny-t1-n16-seed0-greedy is queued or running" in kept[0]


def test_nothing_is_pruned_while_a_launcher_is_at_work(copy):
    _, root = copy
    with root_lock(root):
        done = prune(root, "--apply")
    assert done.returncode == 2 and "another launcher is at work" in done.stderr
    assert done.stderr.endswith("; wait for it\n")
    assert len(weights(root)) == 6


def test_what_a_killed_pruning_left_counts_as_pruned_and_goes_with_the_next(copy):
    """A pruning that was killed between its marker and the removal."""
    grid, root = copy
    victim = next(root.glob("store/train/*/*t1-n8-seed*"))
    (victim / "pruned.json").write_text(json.dumps({"schema": "valley.pruned/1", "at": 1.0}))
    dry = launch(grid, root, "--dry-run", *THIRD).stdout
    assert sum(line.startswith("rebuild  train") for line in dry.splitlines()) == 1
    assert "rebuild  prepare" not in dry, "what it starts from is there"
    assert "nothing to do" in launch(grid, root).stdout
    assert prune(root, "--where", "size=8", "--where", "stage=1", "--apply").returncode == 0
    assert not (victim / "model").exists()


def test_a_lock_runs_its_cell_again(finished, spaced):
    _, root, _ = finished
    path = next(root.glob("store/grade/*/*n8-easy*-direct*/result.json"))
    result = json.loads(path.read_text())
    assert len(path.read_text()) < 12_000 and result["cost"]["estimated_s"] > 0
    assert result["provenance"]["launched"]["host"]

    def again(*arguments, at):
        own = ("--from", str(path), "--cluster", "local")
        return command("sweeps/launch.py", *own, *arguments, root=at)

    here = again("--dry-run", at=root)
    assert here.returncode == 0, here.stderr
    assert "nothing differs" in here.stdout and "0 jobs to run" in here.stdout
    site = spaced / "site.yaml"
    site.write_text("resources: {grade: {time_limit_min: 7}}")
    elsewhere = again("--dry-run", "--site", str(site), at=root)
    assert elsewhere.returncode == 0, elsewhere.stderr
    assert "1x1x1 CPU 7 min" in elsewhere.stdout and "nothing differs" in elsewhere.stdout
    manifest = (root / "sweeps/mini/manifest.jsonl").read_bytes()
    done = again(at=copy_beginning(root, spaced / "runs"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert (root / "sweeps/mini/manifest.jsonl").read_bytes() == manifest
    made = results(spaced / "runs", "grade")
    assert list(made) == [path.parent.name]
    assert made[path.parent.name]["outcome"] == result["outcome"]
    changed = again("--dry-run", "--set", "train.learning_rate=0.5", at=root)
    assert "train.learning_rate: 0.001 then, 0.5 today" in changed.stdout
    # Another sweep than the repetition, whose folder it would take over.
    other = again("--dry-run", "--set", "seed=3", at=root)
    names = [
        said.stdout.splitlines()[-1].partition(": 1 cell on")[0] for said in (here, changed, other)
    ]
    assert names[0] == f"mini-from-{result['identity'][:8]}" and len(set(names)) == 3
    assert all(name.startswith(f"{names[0]}-set-") for name in names[1:])


def test_a_lock_is_refused_in_one_message_where_it_cannot_be_run(copy):
    grid, root = copy
    path = next(root.glob("store/grade/*/*n8-easy*-direct*/result.json"))
    result = json.loads(path.read_text())

    def refused(value):
        path.write_text(json.dumps(value))
        done = command("sweeps/launch.py", "--from", str(path), "--dry-run", root=root)
        assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1, done.stderr
        return done.stderr

    assert "carries no lock" in refused({k: v for k, v in result.items() if k != "lock"})
    said = refused({**result, "lock": {**result["lock"], "tokens": 3}})
    assert "its lock" in said and "tokens: unknown key" in said
    both = command("sweeps/launch.py", str(grid), "--from", str(path), root=root)
    assert both.returncode == 2 and "not allowed with" in both.stderr


def test_a_budget_refuses_before_anything_is_written(spaced):
    grid = spaced / "grid.yaml"
    grid.write_text(MINI.replace("resources: {train: {", "resources: {train: {gpus_per_node: 2, "))

    def launched(*arguments):
        env = {"CUDA_VISIBLE_DEVICES": "0,1"}
        return launch(grid, spaced / "runs", *arguments, env=env)

    done = launched("--budget", "0.001")
    assert done.returncode == 2 and len(done.stderr.strip().splitlines()) == 1
    assert "--budget 0.001: the plan asks for about" in done.stderr and "(train " in done.stderr
    assert not (spaced / "runs").exists()
    assert launched("--budget", "1000", "--dry-run").returncode == 0
    for wrong in ("nan", "-1", "much"):
        assert "--budget" in launched("--budget", wrong).stderr
    grid.write_text(MINI)
    none = launched("--budget", "0", "--dry-run")
    assert none.returncode == 0 and "this plan asks for none" in none.stdout


def test_status_holds_the_estimates_against_what_was_measured(finished):
    _, root, _ = finished
    said = command("sweeps/status.py", root=root).stdout
    assert "train: 5 finished jobs took" in said and "were estimated" in said
    told = json.loads(command("sweeps/status.py", "--json", root=root).stdout)
    spent = told["measured_against_estimated"]
    assert {kind: one["jobs"] for kind, one in spent.items()} == {
        "prepare": 4,
        "train": 5,
        "generate": 10,
        "grade": 10,
    }
    measured_s = sum(r["cost"]["wall_s"] for r in results(root, "train").values())
    assert spent["train"]["measured_h"] == pytest.approx(measured_s / 3600)
