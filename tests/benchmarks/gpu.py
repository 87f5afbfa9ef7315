"""What a training costs on one GPU: tokens per second, MFU and peak memory, beside trl.

    python tests/benchmarks/gpu.py [--peers PYTHON] [--only 1.5B:16384] [--valley JSON]… [--trl JSON]… [--tiny]

Random-initialised Qwen2.5-shaped students of 0.5B and 1.5B parameters, on rows of 16k and 32k tokens into
which documents are packed, in bf16, 131,072 tokens a step. Each trainer computes as few activations again as
80 GB allow (RUNS). Before that, packed rows are compared with the documents run apart, on this GPU and
with the attention that trainings use. Model FLOPs are causal, counted for each document by itself, without
recomputation, the output layer's for learnt tokens only; MFU holds them against the device's dense bf16
peak (`valley/train/throughput.py`). trl has Liger's kernels where they are installed, as valley does, and
flex attention, since its default holds a dense mask over each row. Each `--valley` measures other settings
of `train` instead, each `--trl` another {"attn_implementation": …, "dtype": …, "recompute": …}. trl's
attention may be `documents`, which is torch's FlashAttention-2 kernel as valley calls it, for machines
without the package flash-attn. Prints JSON; without a GPU it says so and ends with status 0. `--tiny` does all of it with a tiny student wherever
it runs, to try the script itself; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from training import Trainer, make_documents

SHAPES: dict[str, dict[str, Any]] = {
    "0.5B": {
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
    },
    "1.5B": {
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_hidden_layers": 28,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
    },
    "tiny": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": 512,
    },
}
FLEX = {"attn_implementation": "flex_attention"}
VOCABULARY = 151_936
STEP_TOKENS = 131_072
LIBRARIES = ("torch", "transformers", "deepspeed", "liger-kernel", "trl")
RUNS: list[tuple[str, int, dict[str, float]]] = [
    ("1.5B", 16_384, {"valley": 0, "trl": 1}),
    ("1.5B", 32_768, {"valley": 0.5, "trl": 1}),
    ("0.5B", 16_384, {"valley": 0, "trl": 0}),
    ("0.5B", 32_768, {"valley": 0, "trl": 1}),
]
"""Student, tokens of a row, and the share of the layers whose activations each trainer computes again."""
TINY = [("tiny", 256, {"valley": 0.5, "trl": 1}), ("tiny", 512, {"valley": 0, "trl": 0})]


def make_student(shape: dict[str, Any], longest: int, folder: Path) -> Any:
    """Write a random student of a shape with a tokenizer that is never used; what its FLOPs follow from."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    from valley.student import prepare_student
    from valley.student_config import TinyStudent
    from valley.train.throughput import ModelShape

    tokenizer_of = TinyStudent()
    prepare_student(tokenizer_of.semantic(), tokenizer_of.execution(), ["a b c"], folder)
    config = Qwen2Config(
        **{
            "vocab_size": VOCABULARY,
            "max_position_embeddings": longest,
            "tie_word_embeddings": True,
            "eos_token_id": 2,
            "pad_token_id": 0,
            **shape,
        }
    )
    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = Qwen2ForCausalLM(config).bfloat16()
    model.save_pretrained(folder)
    return ModelShape.of(model)


def packed_difference(folder: Path, attention: str) -> float:
    """The largest difference between packed logits and those of the documents run apart, over the largest."""
    import torch

    from valley.data.render import Document
    from valley.student import load_model
    from valley.train.attention import NAMES, register
    from valley.train.rows import rows_of

    register()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_model(folder, "bf16", NAMES.get(attention, attention)).to(device).eval()
    vocabulary = model.config.vocab_size
    documents = [Document(tokens, 1) for tokens in make_documents(6, vocabulary, 256)]

    def logits(chosen: list[Document]) -> torch.Tensor:
        rows = rows_of(chosen, packed=True, device=device)
        return model(input_ids=rows.tokens, use_cache=False, **rows.options).logits.float()

    with torch.no_grad():
        apart = torch.cat([logits([document]) for document in documents], 1)
        return float((logits(documents) - apart).abs().max() / apart.abs().max())


@dataclass
class Run:
    """One student on rows of one length, and what was measured of it."""

    student: str
    row_tokens: int
    recomputed: dict[str, float]
    """By trainer: the share of the layers whose activations it computes again."""
    task: dict[str, Any]
    flops_per_token: float
    told: dict[str, Any]

    @classmethod
    def prepared(
        cls, folder: Path, student: str, row_tokens: int, recomputed: dict[str, float], rounds: int
    ) -> Run:
        """Make the student, and documents of lengths as of reasoning traces."""
        shape = make_student(SHAPES[student], row_tokens, folder)
        vocabulary = SHAPES[student].get("vocab_size", VOCABULARY)
        # A few thousand tokens, a few documents in a row.
        documents = make_documents(128, vocabulary, row_tokens, scale=row_tokens / 4)
        lengths = [len(document) for document in documents]
        flops = shape.flops(lengths, sum(lengths) - len(lengths)) / sum(lengths)
        task = {
            "student": str(folder),
            "documents": documents,
            "row_tokens": row_tokens,
            "batch_size": min(8, STEP_TOKENS // row_tokens),
            "steps_per_round": 1,
            "rounds": rounds,
            "threads": os.cpu_count(),
            "initial_loss": False,
        }
        told = {
            "student": student,
            "row_tokens": row_tokens,
            "gflop_per_token": round(flops / 1e9, 3),
            "packed_difference": packed_difference(folder, "documents"),
        }
        return cls(student, row_tokens, recomputed, task, flops, told)

    def of(self, how: str, more: dict[str, Any]) -> dict[str, Any]:
        """The task of one trainer."""
        settings = {
            "precision": "bf16",
            "zero_stage": 1,
            "activation_checkpointing": self.recomputed[how] or False,
            **more,
        }
        return {**self.task, "how": how, "settings": settings}

    def measure(self, trainer: Trainer, task: dict[str, Any], peak: float | None) -> None:
        """Let a trainer that is ready with its task train its rounds."""
        recomputed = float(task["settings"]["activation_checkpointing"])
        told = self.told[trainer.name] = {"recomputed": recomputed}
        for _ in range(self.task["rounds"]):
            trainer.round()
        if trainer.failed:
            told["failed"] = trainer.failed
            return
        speed = statistics.median(trainer.speeds)
        told |= {
            "tokens_per_s": round(speed),
            "least": round(min(trainer.speeds)),
            "most": round(max(trainer.speeds)),
            "mfu": peak and round(speed * self.flops_per_token / peak / 1e12, 4),
            "peak_gib": round(max(each["peak_gib"] for each in trainer.rounds), 2),
            "reserved_gib": trainer.rounds[-1]["reserved_gib"],
            "start_up_s": round(trainer.ready["start_up_s"], 1),
        }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", metavar="PYTHON", help="a Python that has trl")
    parser.add_argument("--tiny", action="store_true", help="try the script with a tiny student")
    parser.add_argument("--only", metavar="STUDENT:TOKENS", nargs="*", help="of RUNS")
    for name in ("--valley", "--trl"):
        parser.add_argument(name, metavar="JSON", type=json.loads, action="append", help="instead")
    parser.add_argument("--rounds", type=int, default=5, help="optimizer steps, after the first")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the JSON there as it comes")
    arguments = parser.parse_args()
    import torch

    if not torch.cuda.is_available() and not arguments.tiny:
        print(json.dumps({"device": None, "said": "no GPU here"}))
        return 0
    with tempfile.TemporaryDirectory(prefix="valley-bench-") as temporary:
        _measure(Path(temporary), arguments)
    return 0


def _measure(folder: Path, arguments: argparse.Namespace) -> None:
    import torch

    from valley.train.throughput import peak_tflops

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    peak = peak_tflops(device)
    runs = [
        Run.prepared(folder / f"{name}-{row_tokens}", name, row_tokens, again, arguments.rounds)
        for name, row_tokens, again in (TINY if arguments.tiny else RUNS)
        if not arguments.only or f"{name}:{row_tokens}" in arguments.only
    ]
    torch.cuda.empty_cache()
    told = {
        "device": device,
        "date": str(datetime.date.today()),
        "peak_tflops": peak,
        "versions": {name: version(name) for name in LIBRARIES if _is_installed(name)},
        "step_tokens": STEP_TOKENS,
        "runs": [run.told for run in runs],
    }
    asked = [("valley", sys.executable, more, more) for more in arguments.valley or [{}]]
    if arguments.peers:
        for more in arguments.trl or [FLEX]:
            asked.append(("trl", arguments.peers, more, _trl_settings(more)))
    for how, python, said, more in asked:
        name = _name(how, said)
        try:
            tasks = [run.of(how, more) for run in runs]
            trainer = Trainer(name, python, tasks, folder)
            for number, run in enumerate(runs):
                if number:
                    trainer.next_task()
                run.measure(trainer, tasks[number], peak)
                print(json.dumps(run.told), file=sys.stderr, flush=True)
                if arguments.out:
                    arguments.out.write_text(json.dumps(told, indent=1), encoding="utf-8")
            trainer.end()
        except RuntimeError as error:
            print(error, file=sys.stderr, flush=True)
    print(json.dumps(told, indent=1))


def _name(how: str, said: dict[str, Any]) -> str:
    """What a trainer is called, also as a file."""
    settings = [f"{name}={value}".replace("/", "-") for name, value in said.items()]
    return " ".join([how, *settings])


def _trl_settings(more: dict[str, Any]) -> dict[str, Any]:
    """What `--trl` says, in the worker's words."""
    model = {name: value for name, value in more.items() if name != "recompute"}
    again = {"activation_checkpointing": more["recompute"]} if "recompute" in more else {}
    return {"trl_model": model, **again}


def _is_installed(name: str) -> bool:
    return find_spec(name.replace("-", "_")) is not None


if __name__ == "__main__":
    sys.exit(main())
