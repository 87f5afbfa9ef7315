from __future__ import annotations

import pytest

from valley.errors import UserError
from valley.grid_file import GridFile
from valley.sweep import load_sweep, read_grid

GRID = """
name: test
students: {tiny: {source: tiny}}
data: {source: tiny}
stages: {1: {}, 2: {from: {size: 4}}}
grid:
  - {size: 8}
  - {size: 16, seed: 5}
"""


def load(folder, *settings):
    (folder / "grid.yaml").write_text(GRID)
    return load_sweep(folder / "grid.yaml", list(settings))


def test_the_last_of_two_settings_holds(spaced):
    sweep, cells = load(spaced, "seed=1", "train.epochs=2", "seed=2", "train.epochs=3")
    assert {cell.axes["seed"] for cell in cells} == {2} and sweep.train.epochs == 3


def test_a_stage_can_be_set_and_added(spaced):
    sweep, _ = load(spaced, "stages.2.from.size=9", "stages.3={from: {size: 5}}")
    assert {n: s.parent and s.parent.size for n, s in sweep.stages.items()} == {1: None, 2: 9, 3: 5}


def test_a_whole_section_can_be_set(spaced):
    sweep, _ = load(spaced, "preview={startup_s: 1e-1}", "students.tiny.first_lessons.epochs=2")
    assert sweep.preview.startup_s == 0.1 and sweep.students["tiny"].first_lessons.epochs == 2


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("seed", "expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("train..epochs=3", "expected KEY=VALUE"),
        ("train.epochs=[", "not YAML"),
        ("train={epochs: 1, epochs: 2}", r"2\}: 'epochs' stands there twice; keep one$"),
        ("seed=[1", r"^--set seed=\[1: not YAML: (?!.*line)"),
        ("seed={a: .inf}", r"^--set seed=\{a: \.inf\}: a: found inf"),
        ("train.epochs=.inf", "found inf; expected a finite number"),
        ("name.x=1", "name is not a section of the grid"),
        ("train.epocs=1", r"train\.epocs: unknown key; did you mean epochs\?"),
        ("train.epochs=true", r"train\.epochs: found True; expected a valid number"),
        ("train={epochs: true}", r"train\.epochs: found True; expected a valid number"),
        ("seed=[]", r"grid\[0\]\.seed: an empty axis"),
        ("seed=x", r"grid\[0\]\.seed: found 'x'"),
        ("grid=[{seed: 1}]", r"grid\[0\]: no `size`"),
        ("stages.2.from.size=0", r"stages\.2\.from\.size: found 0"),
        ("stages.2.from.stage=7", r"stages\.2\.from\.stage: stage 7 is not defined"),
        ("nothing.here=1", "nothing: unknown key"),
    ],
)
def test_a_fault_of_a_setting_says_that_it_comes_from_there(spaced, setting, message):
    with pytest.raises(UserError, match=message) as fault:
        load(spaced, "generate.batch_size=3", setting)
    assert str(fault.value).startswith(f"--set {setting}")
    assert "grid.yaml" not in str(fault.value)


def test_a_fault_of_the_file_does_not_name_the_settings(spaced):
    with pytest.raises(UserError) as fault:
        load(spaced, "students.tiny.layers=2", "grid=[{size: 8}]", "students.tiny={source: x}")
    assert str(fault.value).startswith("--set students.tiny={source: x}: ")  # the last to touch it
    (spaced / "grid.yaml").write_text(GRID.replace("size: 16", "size: -1"))
    with pytest.raises(UserError, match=r"grid\.yaml, line 8: grid\[1\]\.size: found -1"):
        load_sweep(spaced / "grid.yaml", ["train.epochs=2"])


SITE = """\
cluster:
  account: proj
  setup: [module load x]
resources:
  train: {cpus_per_task: 4}
  grade:
    partition: cpu
"""


def test_a_site_fills_in_what_the_grid_leaves_open(spaced):
    site, grid = spaced / "site.yaml", spaced / "grid.yaml"
    site.write_text(SITE)
    grid.write_text("name: x\ncluster: {account: mine}\nresources: {train: {cpus_per_task: 8}}\n")
    file = GridFile(grid, ["resources.grade.cpus_per_task=2"], site)
    assert file.value["cluster"] == {"account": "mine", "setup": ["module load x"]}
    assert file.value["resources"] == {
        "train": {"cpus_per_task": 8},
        "grade": {"partition": "cpu", "cpus_per_task": 2},
    }
    assert file.at(("resources", "grade", "partition")) == (
        f"{site}, line 7: resources.grade.partition"
    )
    assert file.at(("cluster", "account")) == f"{grid}, line 2: cluster.account"
    assert file.at(("resources", "grade", "cpus_per_task")).startswith("--set")


def test_a_site_may_win_over_a_grid_that_states_everything(spaced):
    site, grid = spaced / "site.yaml", spaced / "grid.yaml"
    site.write_text(SITE)
    grid.write_text(
        "name: x\ncluster: {account: mine, qos: q, setup: [a, b]}\n"
        "resources: {train: {cpus_per_task: 8, nodes: 2}, grade: {partition: null}}\n"
    )
    set_ = ["cluster.account=theirs"]
    file = GridFile(grid, set_, site, called="its lock", site_first=True)
    assert file.value["cluster"] == {"account": "theirs", "qos": "q", "setup": ["module load x"]}
    assert file.value["resources"] == {
        "train": {"cpus_per_task": 4, "nodes": 2},
        "grade": {"partition": "cpu"},
    }
    assert file.at(("resources", "train", "cpus_per_task")).startswith(f"{site}, line 5: ")
    assert file.at(("resources", "train", "nodes")) == "its lock: resources.train.nodes"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train: {}", "line 1: train: unknown key .allowed in a site file: cluster, resources"),
        (
            "cluster: {accuont: x}",
            "site.yaml, line 1: cluster.accuont: unknown key; did you mean account",
        ),
        ("cluster:\n  array_throttle: 0", "site.yaml, line 2: cluster.array_throttle: found 0"),
        ("- a", "found a list"),
    ],
)
def test_faults_of_a_site_file_are_told_with_its_line(spaced, text, message):
    site, grid = spaced / "site.yaml", spaced / "grid.yaml"
    site.write_text(text)
    grid.write_text(
        "{name: x, students: {t: {source: tiny}}, data: {source: tiny}, grid: [{size: 0}]}"
    )
    with pytest.raises(UserError, match=message):
        read_grid(grid, site=site)
