import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from collect import collect
from cutting import _without, shortened
from regrade import _mixed, as_collected, regrade_all
from regrading import Rules
from synthetic_sweep import World
from transformers import PreTrainedTokenizerFast

from valley.data.problem_file import ProblemFile
from valley.data.problems import Problem
from valley.data.render import Chat, instruction
from valley.errors import UserError
from valley.evaluate.config import GradeConfig
from valley.evaluate.generate import Setting, generate
from valley.evaluate.grading import grade_files
from valley.evaluate.per_problem import pack
from valley.evaluate.samples import Sample, Verdict
from valley.evaluate.score import score
from valley.job_file import JOB_SCHEMA, identity_of, read_job
from valley.records import read_records, write_records
from valley.student import load_tokenizer
from valley.tiny_student import END_OF_TURN, TINY_TEMPLATE, word_tokenizer
from valley.weights import MARKER

SCRIPT = Path(__file__).parents[2] / "analysis" / "regrade.py"
RIGHT = "```python\nprint(input())\n```"
WRONG = "```python\nprint(0)\n```"
ONLY_STRICT = "```python\nimport sys\nfor line in sys.stdin:\n    print(line.strip())\n```"


def grade_really(made, index, texts):
    """Answers, verdicts and a result as the jobs leave them, for one row of the manifest."""
    store = made.root / "store"
    jobs = made.lines[index]["jobs"]
    evaluation = store / "prepare/ab/evaluation-0123456789abcdef"
    generate, grade = store / jobs["generate"], store / jobs["grade"]
    for folder in (evaluation, generate, grade):
        folder.mkdir(parents=True, exist_ok=True)
    problems = [
        Problem(
            id=f"p{i}",
            source="test",
            statement="Echo.",
            tests=[{"input": f"{i + 1}\n", "output": f"{i + 1}\n"}],
            flags=["doubtful"] if i == 3 else [],
        )
        for i in range(4)
    ]
    write_records(evaluation / "evaluation.jsonl", problems)
    samples = [Sample(f"p{i}", 0, 0, t, "stop", 9, 100 * (i + 1)) for i, t in enumerate(texts)]
    write_records(generate / "samples.jsonl", samples)
    graded = grade_files(
        evaluation / "evaluation.jsonl",
        generate / "samples.jsonl",
        grade / "verdicts.jsonl",
        GradeConfig(),
    )
    outcome = pack(
        score(problems, read_records(generate / "samples.jsonl", Sample), graded.verdicts)
    )
    path = grade / "result.json"
    made.result(jobs["grade"], outcome)
    inputs = {
        "samples": jobs["generate"],
        "evaluation": "prepare/ab/evaluation-0123456789abcdef",
    }
    value = json.loads(path.read_text()) | {"config": GradeConfig().model_dump(), "inputs": inputs}
    path.write_text(json.dumps(value))
    return path


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("my runs")
    made = World(folder, problems=4)
    made.cell({"greedy": 0.9}, size=0)
    made.cell({"greedy": 0.5}, size=16)
    grade_really(made, 0, [RIGHT, RIGHT, RIGHT, RIGHT])
    grade_really(made, 1, [RIGHT, WRONG, ONLY_STRICT, RIGHT])
    settings = {"generate": {"profiles": {"greedy": {"max_tokens": 300}}}}
    (next(folder.glob("sweeps/*")) / "sweep.yaml").write_text(json.dumps(settings))
    return folder


def regraded(root, rules):
    collected = collect(root)
    found, folder = regrade_all(collected, root, rules, 1)
    return collected, as_collected(collected, found), found, folder


def test_the_same_rules_give_the_same_counts_and_metrics(root):
    originals = {path: path.read_bytes() for path in root.glob("store/**/*") if path.is_file()}
    before, after, _, folder = regraded(root, Rules(run_again=True))
    for key, counts in before.counts.items():
        for name, array in vars(counts).items():
            np.testing.assert_array_equal(array, vars(after.counts[key])[name], name)
    pd.testing.assert_frame_equal(
        before.table, after.table[before.table.columns], check_dtype=False
    )
    made = {path: path.stat().st_mtime_ns for path in folder.glob("*-*.json")}
    made |= {path: path.stat().st_mtime_ns for path in folder.glob("*.verdicts.jsonl")}
    assert len(made) == 2
    regraded(root, Rules(run_again=True))
    assert {path: path.stat().st_mtime_ns for path in made} == made
    assert all(path.read_bytes() == content for path, content in originals.items())


def test_the_rules_of_livecodebench_fail_what_they_cannot_run(root):
    _, after, _, _ = regraded(root, Rules({"mode": "lcb"}, run_again=True))
    assert [c.passed.tolist() for c in after.counts.values()] == [[1, 1, 1, 1], [1, 0, 0, 1]]


def test_answers_beyond_a_cap_count_as_not_passed_and_are_told_of(root):
    _, after, found, _ = regraded(root, Rules(max_tokens=250))
    assert [c.passed.tolist() for c in after.counts.values()] == [[1, 1, 0, 0], [1, 0, 0, 0]]
    assert [c.completed.tolist() for c in after.counts.values()] == [[1, 1, 0, 0]] * 2
    assert [(one.cut, one.cut_passed) for one in found.values()] == [(2, 2), (2, 2)]
    _, same, found, _ = regraded(root, Rules(max_tokens=400))
    assert [c.passed.tolist() for c in same.counts.values()] == [[1, 1, 1, 1], [1, 0, 1, 1]]
    assert [one.cut for one in found.values()] == [0, 0]


def test_flagged_problems_are_left_out(root):
    _, after, _, _ = regraded(root, Rules(without_flagged=True))
    assert [c.passed.tolist() for c in after.counts.values()] == [[1, 1, 1], [1, 0, 1]]


def test_what_was_kept_of_another_original_or_is_damaged_is_made_again(root):
    rules = Rules(without_flagged=True)
    *_, folder = regraded(root, rules)
    cells = [path for path in folder.glob("*.json") if path.name != "rules.json"]
    whole = {path: path.read_bytes() for path in cells}
    cells[0].write_text("{")
    cells[1].write_text(json.dumps(json.loads(whole[cells[1]]) | {"source": "other"}))
    regraded(root, rules)
    assert {path: path.read_bytes() for path in cells} == whole


def test_answers_that_are_gone_are_an_error_that_names_them(root, tmp_path):
    collected = collect(root)
    samples = next(root.glob("store/generate/*/*/samples.jsonl"))
    aside = samples.rename(tmp_path / "samples.jsonl")
    try:
        with pytest.raises(UserError, match=r"samples\.jsonl: cannot be read"):
            regrade_all(collected, root, Rules(max_tokens=51), 1)
    finally:
        aside.rename(samples)


def test_the_command_shows_both_side_by_side(root, tmp_path):
    command = [sys.executable, str(SCRIPT), "--root", str(root), "--max-tokens", "250"]
    out = tmp_path / "a table"
    done = subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "4 of 8 answers are longer than 250 tokens\n" in done.stdout
    assert "4 count as not passed, a lower bound, since " in done.stdout
    assert "is missing or damaged; 4 of them had passed" in done.stdout
    table = pd.read_csv(out / "regraded.csv")
    assert table["size"].tolist() == [0, 16]
    assert table["pass@1_original"].tolist() == [1.0, 0.75]
    assert table["pass@1_regraded"].tolist() == [0.5, 0.25]
    assert table["difference"].tolist() == [-0.5, -0.5]
    names = {path.name for path in out.iterdir()}
    assert names >= {"curves.png", "curves.pdf", "regraded.csv", "regraded.json"}
    said = json.loads((out / "regraded.json").read_text())
    assert said["cut_samples_that_had_passed"] == 4
    caps = [said[which]["footing"]["max_tokens"]["greedy"] for which in ("original", "regraded")]
    assert caps == [300, 250]
    assert "the original answers: at most 300 tokens" in (out / "curves.svg").read_text()
    assert done.stdout.splitlines()[-1].startswith("regraded: ")


DRAFT = f"{WRONG}\nNo, again:"
WORDS = " word" * 30


@pytest.fixture
def cuttable(spaced):
    """A cell whose answers are as long as they say, with the tokenizer that they were made with."""
    made = World(spaced, problems=4)
    made.cell({"greedy": 0.9}, size=0)
    texts = [f"{RIGHT}\n{WORDS}", f"{WORDS}\n{RIGHT}", f"{DRAFT}{WORDS}\n{RIGHT}", RIGHT]
    path = grade_really(made, 0, texts)
    student = make_tokenizer(spaced / "store/prepare/ab/student-0123456789abcdef", texts)
    generation = spaced / "store" / made.lines[0]["jobs"]["generate"]
    config = {"profile": {"max_tokens": 99}, "batch_size": 1, "precision": "fp32"}
    identity = identity_of("generate", config, {"model": "0" * 64})
    model = {"identity": "0" * 64, "folder": str(student.relative_to(spaced / "store"))}
    job = {"schema": JOB_SCHEMA, "kind": "generate", "config": config, "identity": identity}
    job |= {"label": "a cell", "execution": {}, "inputs": {"model": model}}
    (generation / "job.json").write_text(json.dumps(job))
    chat = Chat(load_tokenizer(student / "model"))
    problems = ProblemFile(spaced / "store/prepare/ab/evaluation-0123456789abcdef/evaluation.jsonl")
    asked = [chat.prompt(instruction(problem)).text for problem in problems.values()]
    samples = [
        replace(sample, prompt_tokens=len(prompt), completion_tokens=len(answer) + 1)
        for sample, prompt, answer in zip(
            read_records(generation / "samples.jsonl", Sample),
            chat.tokens(asked),
            chat.tokens(texts),
            strict=True,
        )
    ]
    write_records(generation / "samples.jsonl", samples)
    assert path.exists()
    return spaced, generation, student


def make_tokenizer(folder, texts):
    statement = (
        "Echo.\n\nRead from standard input and write to standard output. Answer with one Python"
    )
    prompt = [statement, " program in a ```python block.", "<|user|><|assistant|>"]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=word_tokenizer([*prompt, *texts]), eos_token=END_OF_TURN
    )
    tokenizer.chat_template = TINY_TEMPLATE
    tokenizer.save_pretrained(folder / "model")
    return folder


def test_longer_answers_are_cut_and_what_is_left_is_graded_anew(cuttable):
    root, *_ = cuttable
    _, after, found, folder = regraded(root, Rules(max_tokens=30))
    (counts,), (one,) = after.counts.values(), found.values()
    # A program before the cap stands; one behind it is gone; a draft before it is what is left.
    assert counts.passed.tolist() == [1, 0, 0, 1]
    assert counts.completed.tolist() == [0, 0, 0, 1]
    assert (one.cut, one.cut_passed, one.cut_pass, one.other_lengths) == (3, 3, 1, 0)
    assert one.not_cut_since == ""
    # Only what has another program is run again.
    (path,) = folder.glob("*.verdicts.jsonl")
    statuses = {v.problem_id: v.status for v in read_records(path, Verdict)}
    assert statuses == {"p1": "no_code", "p2": "wrong_answer"}
    (again,) = regraded(root, Rules(run_again=True, max_tokens=30))[1].counts.values()
    assert again.passed.tolist() == counts.passed.tolist()
    _, whole, found, _ = regraded(root, Rules(max_tokens=99))
    assert [c.passed.tolist() for c in whole.counts.values()] == [[1, 1, 1, 1]]


def test_answers_of_another_tokenizer_are_not_cut_and_the_reason_is_told(cuttable):
    root, generation, student = cuttable
    path = generation / "samples.jsonl"
    samples = read_records(path, Sample)
    write_records(path, [replace(s, prompt_tokens=s.prompt_tokens + 1) for s in samples])
    _, after, found, _ = regraded(root, Rules(max_tokens=30))
    assert [c.passed.tolist() for c in after.counts.values()] == [[0, 0, 0, 1]]
    assert [one.not_cut_since for one in found.values()] == [
        "the tokenizer at hand makes other prompts than were asked"
    ]
    write_records(path, [replace(s, completion_tokens=s.completion_tokens + 3) for s in samples])
    (one,) = regraded(root, Rules(max_tokens=31))[2].values()
    assert (one.other_lengths, one.not_cut_since) == (3, "")
    (student / MARKER).write_text("{}")
    (one,) = regraded(root, Rules(max_tokens=32))[2].values()
    assert one.not_cut_since == "a job.json that leads to the student is missing or damaged"


def test_what_could_not_be_cut_is_cut_once_the_tokenizer_is_there(cuttable):
    root, _, student = cuttable
    aside = student.rename(student.with_name("aside"))
    rules = Rules(max_tokens=30)
    _, bound, found, folder = regraded(root, rules)
    (one,) = found.values()
    assert one.not_cut_since and [c.passed.tolist() for c in bound.counts.values()] == [
        [0, 0, 0, 1]
    ]
    aside.rename(student)
    _, after, found, _ = regraded(root, rules)
    (one,) = found.values()
    assert one.not_cut_since == ""
    assert [c.passed.tolist() for c in after.counts.values()] == [[1, 0, 0, 1]]
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("*.json") if path.stem != "rules"}
    regraded(root, rules)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_cut_answer_is_what_the_student_would_have_written(finished):
    _, root, _ = finished
    store = root / "store"
    checked = 0
    for places in collect(root).places.values():
        job = read_job(store / places["generate"])
        problems = list(ProblemFile(job.inputs["evaluation"] / "evaluation.jsonl").values())
        samples = read_records(job.folder / "samples.jsonl", Sample)
        found = shortened(job.folder, problems, samples, 7)
        setting = Setting.of(job.config)
        setting = replace(setting, profile=setting.profile.model_copy(update={"max_tokens": 7}))
        made = generate(job.inputs["model"] / "model", problems, setting).samples
        assert [s.finish_reason for s in found.samples] == [s.finish_reason for s in made]
        # A student that hardly learnt anything writes special tokens, which texts do not have.
        apart = [a for a, b in zip(found.samples, made, strict=True) if a.text != b.text]
        assert len(apart) <= found.other_lengths
        checked += sum(sample.completion_tokens > 7 for sample in samples) - found.other_lengths
        if checked:
            return
    raise AssertionError("no answer was long enough to be cut and made again as it was")


@pytest.mark.parametrize(
    ("given", "said"),
    [(["--max-tokens", "0"], "at least 1"), (["--lcb-timeout-s", "0"], "--lcb-timeout-s 0")],
)
def test_settings_that_cannot_be_are_refused(root, given, said):
    command = [sys.executable, str(SCRIPT), "--root", str(root), *given]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and said in done.stderr


def test_a_reason_is_the_same_for_all_checkpoints():
    reasons = {
        _without(Path(p), UserError(f"{p}: no merges in {p}")) for p in ("/a/model", "/b/model")
    }
    assert reasons == {"no merges in the student's folder"}


def test_a_verdict_of_cut_scores_and_lower_bounds_says_so():
    cut, bound = (SimpleNamespace(not_cut_since=since) for since in ("", "no tokenizer"))
    assert "of 3 cells 1 count at a lower bound" in _mixed([cut, bound, cut])
    assert _mixed([cut]) == _mixed([bound]) == ""
