from __future__ import annotations

import json

import pytest
import yaml
from pydantic import ValidationError
from sweeping import command
from synthetic import packed, places, write_lcb, write_lines, write_ocr2, write_questions

from valley.cluster.element import run_job
from valley.data.config import CorpusConfig
from valley.data.pool import PoolSettings, PoolWriter
from valley.data.problems import Problem
from valley.data.sources import open_evaluation, open_pool, pool_read_from
from valley.data.sources.evaluation_config import HumanEvalEvaluation, LiveCodeBenchEvaluation
from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.job import Job
from valley.job_file import identity_of
from valley.records import read_records
from valley.store import Store

REVISION = "a" * 40
GRID = """
name: real
students: {m: {source: folder, path: org/model, revision: 5f0b02c75b57c5855da9ae460ce51323ea669d8a, parameters_million: 9}}
data:
  source: corpus
  evaluation: {source: livecodebench, path: nowhere/lcb, release: v5, since: 2024-08, until: 2025-02}
  pool:
    source: opencodereasoning2
    path: nowhere/ocr2
    questions: {taco: {path: nowhere/TACO}, apps: {hub: codeparrot/apps, revision: REVISION}}
grid:
  - {size: [0, 100], data.evaluation.release: [v5, v6]}
""".replace("REVISION", REVISION)


@pytest.fixture
def settings(spaced):
    questions = places(write_questions(spaced))
    questions["taco"]["revision"] = REVISION
    return {
        "source": "corpus",
        "evaluation": {
            "source": "livecodebench",
            "path": str(write_lcb(spaced / "lcb")),
            "since": "2024-02",
        },
        "pool": {
            "source": "opencodereasoning2",
            "path": str(write_ocr2(spaced / "ocr2", rows=20)),
            "questions": questions,
        },
    }


def corpus(settings, **changes):
    return CorpusConfig.model_validate({**settings, **changes})


def test_jobs_read_what_was_planned(settings):
    config = corpus(settings)
    plan = json.loads(json.dumps([config.evaluation_semantic(), config.pool_semantic()]))
    execution = json.loads(json.dumps(config.execution()))
    assert len(list(open_evaluation(plan[0], execution).problems())) == 33
    reader = open_pool(plan[1], execution)
    assert len(list(reader.candidates())) == 20
    said = pool_read_from(execution)
    assert said["digest"] == plan[1]["pool"]["digest"] and said["files"] == 2
    assert said["questions"]["taco"] == {
        **plan[1]["pool"]["questions"]["taco"],
        "revision": REVISION,
    }
    assert config.evaluation_size > 300
    # Of TACO's five rows the first two are EASY and MEDIUM.
    assert config.pool_limit("all", "all") == 20 and config.pool_limit("easy", "all") == 2
    assert config.label == "livecodebench-v6-ocr2-python" and not config.missing()


def test_what_decides_each_side_is_of_that_side_alone(settings, spaced):
    config = corpus(settings)
    evaluation, pool = config.evaluation_semantic(), config.pool_semantic()
    window = corpus(settings, evaluation={**settings["evaluation"], "since": "2024-03"})
    assert window.pool_semantic() == pool and window.evaluation_semantic() != evaluation
    write_questions(spaced, rows=24)
    assert config.pool_semantic() != pool and config.evaluation_semantic() == evaluation


def test_the_folders_decide_nothing(settings, spaced, monkeypatch):
    config = corpus(settings)
    planned = config.evaluation_semantic(), config.pool_semantic()
    (spaced / "elsewhere").mkdir()
    for name in ("lcb", "ocr2", "taco", "apps", "code_contests", "codeforces"):
        (spaced / name).rename(spaced / "elsewhere" / name)
    monkeypatch.chdir(spaced)
    moved = json.loads(json.dumps(settings).replace(str(spaced), "elsewhere"))
    there = corpus(moved)
    assert (there.evaluation_semantic(), there.pool_semantic()) == planned
    assert there.execution()["corpus"]["pool"]["path"] == str(spaced / "elsewhere" / "ocr2")


def test_files_that_changed_since_the_plan_are_refused_by_the_job(settings, spaced):
    config = corpus(settings)
    planned = config.pool_semantic()
    write_ocr2(spaced / "ocr2", rows=21)
    with pytest.raises(UserError, match=r"data\.pool: its files have changed since the job was"):
        open_pool(planned, config.execution())


def test_a_damaged_question_set_is_named_when_it_is_read(settings, spaced):
    path = spaced / "code_contests" / "data" / "train-00001-of-00002.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    config = corpus(settings)
    reader = open_pool(config.pool_semantic(), config.execution())
    with pytest.raises(UserError, match=r"code_contests.*train-00001-of-00002\.parquet is damaged"):
        list(reader.candidates())
    path.unlink()
    with pytest.raises(UserError, match=r"code_contests: .*00001-of-00002\.parquet is missing"):
        config.pool_semantic()


def test_a_question_set_in_a_folder_of_something_else_is_named(settings, spaced):
    questions = {"apps": {"path": str(spaced / "taco" / "train")}}
    config = corpus(settings, pool={**settings["pool"], "questions": questions})
    with pytest.raises(UserError, match=r"data\.pool\.questions\.apps: .*holds no split"):
        config.pool_semantic()


def test_a_dry_run_makes_do_without_files(settings, spaced):
    for name in ("lcb", "apps"):
        (spaced / name).rename(spaced / f"{name}2")
    config = corpus(settings)
    dry = config.for_a_dry_run()
    assert dry.missing() == config.missing()
    assert config.missing() == [f"{spaced / name} is missing" for name in ("lcb", "apps")]
    for side in ("evaluation_semantic", "pool_semantic"):
        with pytest.raises(UserError, match="is missing"):
            getattr(config, side)()
        assert getattr(dry, side)()["missing"]
    assert dry.pool_limit("all", "all") is None and dry.evaluation_size > 300
    own = {"source": "jsonl", "path": str(spaced / "nowhere.jsonl")}
    assert corpus(settings, evaluation=own).for_a_dry_run().evaluation_size == 300


def test_a_dry_run_with_all_there_is_the_launch(settings):
    config = corpus(settings)
    dry = config.for_a_dry_run()
    assert dry.evaluation_semantic() == config.evaluation_semantic()
    assert dry.pool_semantic() == config.pool_semantic() and not dry.missing()


def test_the_launcher_plans_without_files_and_says_what_is_missing(spaced):
    (spaced / "grid.yaml").write_text(GRID)
    arguments = ["sweeps/launch.py", str(spaced / "grid.yaml"), "--dry-run"]
    done = command(*arguments, root=spaced / "runs")
    assert done.returncode == 0, done.stderr
    for name in ("lcb", "ocr2", "TACO"):
        assert done.stdout.count(f"nowhere/{name} is missing\n") == 1
    assert "livecodebench-v6-ocr2-python-evaluation" in done.stdout
    done = command(*arguments, "--set", "data.pool.questions.tacos=1", root=spaced / "runs")
    assert done.returncode == 2 and "did you mean taco?" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "change, message",
    [
        ({"split": "rust"}, "'python' or 'cpp'"),
        ({"source": "ocr"}, "'opencodereasoning2', 'opencodereasoning', 'taco', 'jsonl', 'paper'"),
        ({"path": None}, "expected `path`"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings, change, message):
    with pytest.raises(ValidationError, match=message):
        corpus(settings, pool={**settings["pool"], **change})


def prepared(root, settings):
    config = corpus(settings)
    semantic = {"evaluation": config.evaluation_semantic()}
    identity = identity_of("prepare", semantic, {})
    job = Job("prepare", identity, "asked", semantic, {}, execution=config.execution())
    folder = Store(root).lay(job, job.execution)
    return folder, run_job(folder)


def test_the_prepare_job_writes_the_problems_and_says_where_they_are_from(settings, spaced):
    folder, _ = prepared(spaced / "runs", settings)
    assert len(read_records(folder / "evaluation.jsonl", Problem)) == 33
    told = json.loads((folder / "result.json").read_text())
    assert told["outcome"]["read"]["left out: outside the window"] == 3
    digest = corpus(settings).evaluation_semantic()["evaluation"]["digest"]
    assert told["outcome"]["read_from"] == {"digest": digest, "files": 6}


def test_an_evil_pickle_ends_the_job_with_one_sentence(settings, spaced):
    class Evil:
        def __reduce__(self):
            return eval, (f"open({str(spaced / 'touched')!r}, 'w')",)

    row = json.loads((spaced / "lcb" / "test.jsonl").read_text().splitlines()[1])
    write_lines(spaced / "lcb" / "test.jsonl", [{**row, "private_test_cases": packed(Evil())}])
    folder, _ = prepared(spaced / "runs", settings)
    error = json.loads((folder / "failed.json").read_text())["error"]
    assert "question q1: private_test_cases is refused: it names builtins.eval" in error
    assert not (spaced / "touched").exists() and not (folder / "result.json").exists()


@pytest.mark.real
def test_humaneval_is_one_of_the_evaluation_sets(settings):
    part = HumanEvalEvaluation(source="humaneval", limit=2)
    if part.missing():
        pytest.skip(part.missing()[0])
    reader = part.open()
    assert len(list(reader.problems())) == part.size == 2
    assert reader.counts() == {"left out: several right answers": 1, "problems": 2}


def test_the_grader_is_not_asked_about_cpp(settings):
    pool = {**settings["pool"], "split": "cpp"}
    with pytest.raises(
        UserError, match=r"data\.correctness\.by: grader found, .*split is cpp; .* or none"
    ):
        corpus(settings, pool=pool).check()
    corpus(settings).check()
    for by in ("pass_rate", "judgement", "none"):
        corpus(settings, pool=pool, correctness={"by": by}).check()


def test_a_rule_that_the_source_gives_nothing_to_go_by_is_refused(settings):
    pool = {"source": "paper", "path": "x"}
    for name, by in (
        ("correctness", "pass_rate"),
        ("correctness", "judgement"),
        ("difficulty", "pass_rate"),
    ):
        with pytest.raises(
            UserError, match=rf"data\.{name}\.by: {by} found, and .*source paper states none"
        ):
            corpus(settings, pool=pool, **{name: {"by": by}}).check()
        corpus(settings, **{name: {"by": by}}).check()
    stated = {**pool, "difficulty": "easy"}
    with pytest.raises(
        UserError, match=r"data\.difficulty has no effect with data\.pool\.difficulty"
    ):
        corpus(settings, pool=stated, difficulty={"by": "trace_length"}).check()
    corpus(settings, pool=stated).check()


@pytest.mark.parametrize("correctness", ["judgement", "pass_rate", "none", "grader"])
@pytest.mark.parametrize("difficulty", ["label", "trace_length"])
def test_what_the_columns_state_bounds_the_arms(settings, spaced, correctness, difficulty):
    """Without a text being read; exactly, where every row is of use and the rules go by columns."""

    def change(row):
        row["r1_generation"] = "<think>never" if row["id"].endswith("7") else row["r1_generation"]

    path = str(write_ocr2(spaced / "more", rows=60, change=change))
    data = corpus(
        settings,
        pool={**settings["pool"], "path": path},
        difficulty={"by": difficulty},
        correctness={"by": correctness},
    )
    # What the grader would say is not asked for here.
    by = {"by": "judgement"} if correctness == "grader" else {"by": correctness}
    pool = PoolSettings.model_validate(data.model_dump() | {"correctness": by})
    strata = PoolWriter(spaced, pool, GradeConfig()).write(data.pool.open())["strata"]
    bounds = {name: data.pool_limit(*name.split("/")) for name in strata}
    assert all(bounds[name] >= held for name, held in strata.items())
    assert bounds["all/all"] == 60 and strata["all/all"] == 56
    if difficulty == "label":
        assert (bounds["easy/all"], bounds["medium/all"], bounds["hard/all"]) == (6, 0, 7)
    if correctness in ("judgement", "pass_rate"):
        wrong = 12 if correctness == "judgement" else 8
        assert bounds["all/incorrect"] == wrong
    if correctness == "none":
        assert bounds["all/correct"] == 0
    if correctness == "grader":
        assert bounds["all/correct"] == bounds["all/all"]


def test_a_dry_run_refuses_more_than_the_columns_state(settings, spaced):
    grid = spaced / "grid.yaml"
    value = yaml.safe_load(GRID)
    value["data"] = {**settings, "correctness": {"by": "judgement"}}
    value["grid"] = [{"size": [5], "correctness": "incorrect"}]
    grid.write_text(yaml.safe_dump(value))
    said = command("sweeps/launch.py", str(grid), "--dry-run", root=spaced / "runs")
    assert said.returncode == 2, said.stdout
    assert "size 5 is larger than the pool: at most 4 traces are all/incorrect" in said.stderr
    assert "all/correct 16" in said.stderr


def test_cpp_and_the_grader_are_refused_by_a_dry_run(spaced):
    grid = spaced / "grid.yaml"
    grid.write_text(GRID.replace("path: nowhere/ocr2", "path: nowhere/ocr2\n    split: cpp"))
    said = command("sweeps/launch.py", str(grid), "--dry-run", root=spaced / "runs")
    assert said.returncode == 2 and "data.pool.split is cpp" in said.stderr


@pytest.mark.parametrize(
    ("window", "message"),
    [
        ({"since": "2024-13"}, "found '2024-13'; expected a day such as 2024-08-01"),
        ({"until": "2024-02-31"}, "found '2024-02-31'"),
        ({"since": "2024-08", "until": "2024-07"}, "is after until"),
        ({"since": "2024-04"}, "no contest of release v1 is in this window; .* end before 2024-04"),
        ({"until": "2023-04-30"}, "no contest of release v1 .* begin in 2023-05"),
    ],
)
def test_a_window_without_contests_is_refused(window, message):
    with pytest.raises(ValueError, match=message):
        LiveCodeBenchEvaluation.model_validate(
            {"source": "livecodebench", "path": "x", "release": "v1", **window}
        )
