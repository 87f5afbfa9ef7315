"""A generate job: it goes on where an earlier start was ended, and runs where only vLLM is installed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from wild_student import make_wild

from valley.cluster.element import run_job
from valley.data.config import TinyConfig
from valley.data.problems import Problem
from valley.data.sources.tiny import TinyWorld
from valley.errors import UserError
from valley.evaluate.earlier_round import EarlierRound
from valley.evaluate.profiles import GenerateConfig, Profile
from valley.evaluate.samples import Sample
from valley.evaluate.shards import check_backends, check_students, merged_provenance
from valley.job import Job
from valley.job_file import identity_of, read_job, write_result
from valley.records import parse_record, read_records, write_records
from valley.store import Store
from valley.student_config import TinyStudent

REPOSITORY = Path(__file__).parent.parent.parent
PROBLEMS = TinyWorld(TinyConfig(evaluation_problems=300)).evaluation_problems()
VLLM = Path(os.environ.get("VALLEY_VLLM_PYTHON", REPOSITORY / ".venv-vllm" / "bin" / "python"))
needs_vllm = pytest.mark.skipif(
    not VLLM.exists() and "VALLEY_REQUIRE_VLLM" not in os.environ,
    reason="vLLM is not installed beside: `make vllm` installs it",
)


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a student") / "model"
    folder.mkdir()
    # vLLM on CPU knows no heads narrower than 32.
    made = TinyStudent(layers=1, hidden=64, intermediate=96, heads=2, seed=4)
    make_wild(made, PROBLEMS, folder, std=0.2)
    return folder


class World:
    """A store with a student and problems, in which generate jobs can be laid."""

    def __init__(self, root: Path, student: Path, problems: int | list[Problem]) -> None:
        """`problems`: how many of the tiny world's, or which others."""
        self.store = Store(root)
        self.evaluation = self._made("prepare", {"e": 1})
        folder = self.store.folder("prepare", "prepare", self.evaluation.identity)
        asked = PROBLEMS[:problems] if isinstance(problems, int) else problems
        write_records(folder / "evaluation.jsonl", asked)
        self.model = self._made("train", {"m": 1})
        at = self.store.folder("train", "train", self.model.identity)
        (at / "model").symlink_to(student)

    def _made(self, kind: str, config: dict) -> Job:
        job = Job(kind, identity_of(kind, config, {}), kind, config, {})
        folder = self.store.lay(job, {})
        write_result(read_job(folder), {}, {}, {})
        return job

    def lay(self, profile: Profile, execution: dict | None = None, **settings) -> Path:
        """The folder of a new generate job."""
        config = GenerateConfig(precision="fp32", **settings).semantic(profile)
        return self.store.lay(self._job(config), execution or {})

    def lay_part(
        self, profile: Profile, shard: tuple[int, int], earlier: Job | None = None, **settings
    ) -> Job:
        """A new job that is a shard of one."""
        config = GenerateConfig(precision="fp32", **settings).semantic(profile)
        job = self._job({**config, "shard": list(shard)}, earlier)
        self.store.lay(job, {})
        return job

    def lay_round(
        self,
        profile: Profile,
        earlier: Job | None = None,
        execution: dict | None = None,
        **settings,
    ) -> Job:
        """A new job that goes on from an earlier round's."""
        job = self._job(GenerateConfig(precision="fp32", **settings).semantic(profile), earlier)
        self.store.lay(job, execution or {})
        return job

    def _job(self, config: dict, earlier: Job | None = None) -> Job:
        inputs = {"model": self.model, "evaluation": self.evaluation}
        inputs |= {"earlier": earlier} if earlier else {}
        identity = identity_of("generate", config, {r: job.identity for r, job in inputs.items()})
        return Job("generate", identity, "g", config, inputs)


def outcome(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text())["outcome"]


def run_all(
    folders: list[Path], python: str | Path = sys.executable, before: str = ""
) -> subprocess.Popen:
    """Run jobs in one process, as an array element does; `before` is run there first."""
    code = "import sys; from valley.cluster.element import run_element; run_element(sys.argv[1:])"
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [python, "-c", f"{before}\n{code}", *map(str, folders)],
        env=environment,
        cwd=folders[0].parent,
    )


def kill_after(
    samples: int, folder: Path, python: str | Path = sys.executable, before: str = ""
) -> Path:
    """Run a job until it has finished so many samples, and kill it: the file of those that it kept."""
    process = run_all([folder], python, before)
    kept = folder / "resume" / "samples.jsonl"
    while not kept.exists() or len(kept.read_bytes().splitlines()) < 1 + samples:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "result.json").exists()
    return kept


def test_a_killed_job_goes_on_and_ends_as_one_that_was_not(spaced, student):
    profile = Profile(samples=2, temperature=0.8, max_tokens=300)
    whole = World(spaced / "whole", student, 24).lay(profile, batch_size=4)
    assert run_job(whole) == "made"
    broken = World(spaced / "broken", student, 24).lay(profile, batch_size=4)
    kept = kill_after(8, broken)
    with kept.open("ab") as file:
        file.write(b'{"schema": "valley.sample/1", "problem')  # as a kill amid a write leaves it
    assert run_job(broken) == "made"
    assert (broken / "samples.jsonl").read_bytes() == (whole / "samples.jsonl").read_bytes()
    assert 8 <= outcome(broken)["kept_samples"] < 48
    assert outcome(broken)["resumed_samples"] == outcome(whole)["kept_samples"] == 0
    assert not kept.exists()


def test_what_was_kept_of_another_student_is_not_used(spaced, student):
    world = World(spaced, student, 4)
    folder = world.lay(Profile(max_tokens=4), batch_size=2)
    kept = folder / "resume" / "samples.jsonl"
    kept.parent.mkdir()
    header = {"schema": "valley.generating/1", "student": "another"}
    line = {"schema": "valley.sample/1", "problem_id": PROBLEMS[0].id, "index": 0, "text": "no"}
    kept.write_text(json.dumps(header) + "\n" + json.dumps(line) + "\n")
    assert run_job(folder) == "made"
    assert outcome(folder)["kept_samples"] == 0


def test_a_backend_that_is_not_there_is_named(spaced, student):
    folder = World(spaced, student, 2).lay(Profile(), backend="vllm")
    assert run_job(folder) == "none"
    reason = (folder / "failed.json").read_text()
    assert "vllm is not installed in" in reason and "resources.generate.python" in reason


@pytest.mark.parametrize("shards", [2, 3, 40])
def test_shards_make_the_samples_of_one_job(spaced, student, shards):
    """40 shards are more than there are batches, so that some have nothing to do."""
    profile = Profile(samples=2, temperature=0.8, max_tokens=8)
    whole = World(spaced / "whole", student, 12).lay(profile, batch_size=4)
    assert run_job(whole) == "made"
    world = World(spaced / "shared", student, 12)
    parts = [world.lay_part(profile, (i, shards), batch_size=4) for i in range(shards)]
    merged = world.lay(profile, execution={"shards": [p.identity for p in parts]}, batch_size=4)
    folders = [world.store.folder("generate", "", part.identity) for part in parts]
    for folder in folders[1:]:
        assert run_job(folder) == "made"
    assert run_job(merged) == "none"  # a shard is missing, and there is no smaller denominator
    assert f"shard 0 of {shards} has no result" in (merged / "failed.json").read_text()
    assert run_job(folders[0]) == "made" and run_job(merged) == "made"
    assert (merged / "samples.jsonl").read_bytes() == (whole / "samples.jsonl").read_bytes()
    assert outcome(merged)["shards"] == shards
    of_shard, of_whole = (json.loads((f / "result.json").read_text()) for f in (folders[0], merged))
    for name in ("torch", "transformers"):
        version = of_shard["provenance"]["versions"][name]
        assert of_whole["provenance"]["versions"][name] == version
    assert "provenance_of_parts" not in of_whole["outcome"]
    counted = ("samples", "prompt_tokens", "completion_tokens", "truncated", "backend")
    assert [outcome(merged)[c] for c in counted] == [outcome(whole)[c] for c in counted]


def test_two_rounds_make_the_samples_of_one_job(spaced, student):
    profile = Profile(samples=4, rounds=2, temperature=0.8, max_tokens=8)
    whole = World(spaced / "whole", student, 6).lay(profile, batch_size=4)
    assert run_job(whole) == "made"
    world = World(spaced / "rounds", student, 6)
    first = world.lay_round(profile.up_to(1), batch_size=4)
    second = world.lay_round(profile, first, batch_size=4)
    folders = [world.store.folder("generate", "", job.identity) for job in (first, second)]
    assert [run_job(folder) for folder in folders] == ["made", "made"]
    assert (folders[1] / "samples.jsonl").read_bytes() == (whole / "samples.jsonl").read_bytes()
    assert outcome(folders[1])["earlier"]["samples"] == outcome(folders[0])["samples"] == 12
    assert outcome(folders[1])["samples"] == outcome(whole)["samples"] == 24


class Trained:
    """A world of three rounds whose student can be trained again, to equal weights or to others."""

    def __init__(self, root: Path, student: Path) -> None:
        self.world = World(root, student, 3)
        profile = Profile(samples=3, rounds=3, temperature=0.8, max_tokens=4)
        self.rounds: list[Job] = []
        for number in (1, 2, 3):
            earlier = self.rounds[-1] if self.rounds else None
            self.rounds.append(self.world.lay_round(profile.up_to(number), earlier))
        self.folders = [self.world.store.folder("generate", "", j.identity) for j in self.rounds]
        self.checkpoint = self.world.store.folder("train", "train", self.world.model.identity)

    def train_again(self, weights: Path | None = None) -> None:
        path = self.checkpoint / "result.json"
        result = json.loads(path.read_text())
        result["cost"]["wall_s"] = result["cost"].get("wall_s", 0) + 1
        path.write_text(json.dumps(result))
        if weights is not None:
            (self.checkpoint / "model").unlink()
            (self.checkpoint / "model").symlink_to(weights)

    def forget(self, number: int, *names: str) -> None:
        """As a version before these names left the result of a round."""
        path = self.folders[number - 1] / "result.json"
        result = json.loads(path.read_text())
        for name in names:
            del result["outcome"][name]
        path.write_text(json.dumps(result))


def test_a_student_of_equal_weights_goes_on_with_rounds(spaced, student):
    trained = Trained(spaced, student)
    assert run_job(trained.folders[0]) == "made"
    trained.train_again()
    assert [run_job(folder) for folder in trained.folders[1:]] == ["made", "made"]
    assert outcome(trained.folders[2])["samples"] == 9


def test_rounds_of_results_before_weights_had_a_name_are_compared_by_their_trainings(
    spaced, student
):
    trained = Trained(spaced, student)
    assert run_job(trained.folders[0]) == "made"
    trained.forget(1, "weights")
    assert run_job(trained.folders[1]) == "made"
    trained.forget(2, "weights")
    trained.train_again()
    assert run_job(trained.folders[2]) == "none"


def test_other_weights_are_refused_before_they_answer_and_all_rounds_are_named(spaced, student):
    trained = Trained(spaced / "store", student)
    other = spaced / "other"
    shutil.copytree(student, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.5}))
    assert [run_job(folder) for folder in trained.folders[:2]] == ["made", "made"]
    trained.train_again(other)
    assert run_job(trained.folders[2]) == "none"
    said = (trained.folders[2] / "failed.json").read_text()
    assert "was made by other weights of this student" in said
    assert f"remove {trained.folders[1]}, {trained.folders[0]} and launch again" in said
    assert not (trained.folders[2] / "resume").exists()


def test_the_shards_of_earlier_rounds_are_named_too(spaced, student):
    world = World(spaced, student, 3)
    profile = Profile(samples=2, rounds=2, max_tokens=4)
    parts = [world.lay_part(profile.up_to(1), (i, 2)) for i in range(2)]
    execution = {"shards": [part.identity for part in parts]}
    first = world.lay_round(profile.up_to(1), execution=execution)
    folders = [world.store.folder("generate", "", job.identity) for job in (*parts, first)]
    assert [run_job(folder) for folder in folders] == ["made"] * 3
    assert outcome(folders[2])["weights"] == outcome(folders[0])["weights"]
    with pytest.raises(UserError) as refused:
        EarlierRound.of(folders[2]).check_student({"weights": "others"})
    assert all(str(folder) in str(refused.value) for folder in folders)


def test_shards_that_two_trainings_of_a_student_answered_are_not_put_together():
    folders = [Path("/store/a"), Path("/store/b")]
    check_students(folders, [{"student": "one"}, {"student": "one"}])
    check_students(folders, [{"weights": "w", "student": "one"}, {"weights": "w", "student": "b"}])
    with pytest.raises(UserError, match="1 of 2 shards"):
        check_students(folders, [{"student": "one"}, {"weights": "w", "student": "two"}])
    with pytest.raises(UserError, match=r"1 of 2 shards .* remove /store/a and launch again"):
        check_students(folders, [{"student": "one"}, {"student": "two"}])


def test_shards_that_two_backends_answered_are_not_put_together():
    folders = [Path("/store/a"), Path("/store/b")]
    old, new = ({"backend": "vllm", "backend_version": v} for v in ("0.31", "0.32"))
    check_backends(folders, [new, new])
    with pytest.raises(UserError, match=r"1 of 2 shards .*vllm 0\.31, vllm 0\.32.*remove /store/a"):
        check_backends(folders, [old, new])


def test_shards_tell_what_they_were_made_with(caplog):
    made = [{"versions": {"torch": v, "valley": "1"}, "device": "H100"} for v in ("2.13", "2.14")]
    assert merged_provenance(made[:1]) == {"versions": {"torch": "2.13"}, "device": "H100"}
    assert not caplog.text
    assert merged_provenance(made)["versions"] == {"torch": "2.13/2.14"}
    assert "not made alike: torch 2.13, 2.14" in caplog.text


@needs_vllm
@pytest.mark.vllm
def test_vllm_answers_as_transformers_does(spaced, student):
    """All problems, greedy; and samples whose seeds are their own, whatever they are decoded beside."""
    greedy = Profile(max_tokens=40)
    drawn = Profile(samples=2, temperature=0.8, top_p=0.95, max_tokens=20)
    theirs = World(spaced / "transformers", student, 300).lay(greedy, batch_size=100)
    assert run_job(theirs) == "made"
    wide = World(spaced / "vllm", student, 300)
    folders = [
        wide.lay(greedy, batch_size=100, backend="vllm"),
        World(spaced / "many", student, 12).lay(drawn, batch_size=24, backend="vllm"),
        World(spaced / "few", student, 6).lay(drawn, batch_size=3, backend="vllm"),
    ]
    assert run_all(folders, VLLM).wait() == 0
    result = json.loads((folders[0] / "result.json").read_text())
    assert result["outcome"]["backend"] == "vllm"
    assert result["provenance"]["versions"]["vllm"] == result["outcome"]["backend_version"]
    assert "deepspeed" not in result["provenance"]["versions"]
    pairs = zip(
        *(read_records(f / "samples.jsonl", Sample) for f in (theirs, folders[0])), strict=True
    )
    assert not (found := [first_difference(a, b) for a, b in pairs if a != b]), found
    many, few = (read_records(f / "samples.jsonl", Sample) for f in folders[1:])
    assert few == many[:12] and len({s.text for s in many}) > 12


@needs_vllm
@pytest.mark.vllm
def test_a_killed_job_of_vllm_makes_only_what_is_missing_and_marks_it(spaced, student):
    """Whatever an engine decodes beside may change last digits, so what it made after the kill says so."""
    profile = Profile(samples=4, temperature=0.8, max_tokens=60)
    folder = World(spaced, student, 24).lay(profile, batch_size=4, backend="vllm")
    lines = kill_after(16, folder, VLLM).read_bytes().split(b"\n")[1:-1]
    kept = {key(s): s for s in (parse_record("", line, Sample) for line in lines)}
    assert 16 <= len(kept) < 96 and not any(s.resumed for s in kept.values())
    assert run_all([folder], VLLM).wait() == 0
    samples = {key(s): s for s in read_records(folder / "samples.jsonl", Sample)}
    assert len(samples) == 96
    assert {k: s for k, s in samples.items() if not s.resumed} == kept
    told = outcome(folder)
    assert (told["kept_samples"], told["resumed_samples"]) == (len(kept), 96 - len(kept))


@needs_vllm
@pytest.mark.vllm
@pytest.mark.slow
def test_an_engine_over_two_devices_answers_as_over_one_and_ends_with_its_job(
    spaced, student, monkeypatch
):
    """Tensor parallel: two CPU processes that hold half of each layer stand for two GPUs."""
    two = "import torch; torch.cuda.device_count = lambda: 2"
    greedy = Profile(max_tokens=60)
    one = World(spaced / "one", student, 24).lay(greedy, batch_size=4, backend="vllm")
    assert run_all([one], VLLM).wait() == 0
    folder = World(spaced / "two", student, 24).lay(greedy, batch_size=4, backend="vllm")
    mark = f"VALLEY_TEST_RUN={folder}"
    monkeypatch.setenv(*mark.split("=", 1))
    kill_after(8, folder, VLLM, two)
    assert wait_until(lambda: not processes_with(mark), 30), "workers outlive their job"
    running = run_all([folder], VLLM, two)
    try:
        assert wait_until(lambda: workers_with(mark) == 2, 120), "it has no two workers"
        assert running.wait() == 0 and wait_until(lambda: not processes_with(mark), 30)
    finally:
        running.kill()
    texts = [[s.text for s in read_records(f / "samples.jsonl", Sample)] for f in (one, folder)]
    assert texts[0] == texts[1] and outcome(folder)["kept_samples"] >= 8


def processes_with(mark: str) -> list[str]:
    """The commands of processes that were started with a variable set so."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark.encode() in path.read_bytes().split(b"\0"):
                found.append(path.with_name("cmdline").read_text())
    return found


def workers_with(mark: str) -> int:
    """How many of them multiprocessing started as workers, not to track resources."""
    return sum("spawn_main" in command for command in processes_with(mark))


def wait_until(true: Callable[[], bool], most_s: float) -> bool:
    """Whether something becomes true in time."""
    end = time.monotonic() + most_s
    while not (so := true()) and time.monotonic() < end:
        time.sleep(0.1)
    return so


def key(sample: Sample) -> tuple[str, int]:
    """What tells it from the others of a job."""
    return sample.problem_id, sample.index


def first_difference(ours: Sample, theirs: Sample) -> str:
    """Where two answers part, in words, which are the tiny student's tokens."""
    a, b = ours.text.split(), theirs.text.split()
    at = next(
        (i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
    )
    return f"{ours.problem_id}: word {at}: {a[at : at + 3]} and {b[at : at + 3]}"
