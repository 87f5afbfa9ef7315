"""What a training costs on one GPU: tokens per second, MFU and peak memory, beside trl.

    python tests/benchmarks/gpu.py [--peers PYTHON] [--tiny]

Random-initialised Qwen2.5-shaped students of 0.5B and 1.5B parameters, on rows of 16k and 32k tokens into
which documents are packed, in bf16 with activation checkpointing. Before that, packed rows are compared
with the documents run apart, on this GPU and with the attention that trainings use. Model FLOPs are
causal, counted for each document by itself, without recomputation, the output layer's for learnt tokens
only; MFU holds them against the device's dense bf16 peak (`valley/train/throughput.py`). Prints JSON;
without a GPU it says so and ends with status 0. `--tiny` does all of it with a tiny student wherever it
runs, to try the script itself; its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import sys
import tempfile
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
VOCABULARY = 151_936


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
    model = Qwen2ForCausalLM(config)
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


def measured(trainer: Trainer, rounds: int) -> dict[str, Any]:
    """What a trainer did alone in some rounds."""
    for _ in range(rounds):
        trainer.round()
    trainer.end()
    return {
        "tokens_per_s": round(statistics.median(trainer.speeds), 1),
        "peak_gib": round(max(told["peak_gib"] for told in trainer.rounds), 2),
        "start_up_s": round(trainer.ready["start_up_s"], 1),
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", metavar="PYTHON", help="a Python that has trl")
    parser.add_argument("--tiny", action="store_true", help="try the script with a tiny student")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2, help="optimizer steps of a round")
    arguments = parser.parse_args()
    import torch

    if not torch.cuda.is_available() and not arguments.tiny:
        print(json.dumps({"device": None, "said": "no GPU here"}))
        return 0
    from valley.train.throughput import peak_tflops

    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    peak = peak_tflops(device)
    told: dict[str, Any] = {
        "device": device,
        "date": str(datetime.date.today()),
        "torch": torch.__version__,
        "peak_tflops": peak,
        "runs": [],
    }
    shapes, rows = (["tiny"], [256]) if arguments.tiny else (["0.5B", "1.5B"], [16_384, 32_768])
    for shape in shapes:
        for row_tokens in rows:
            with tempfile.TemporaryDirectory(prefix="valley-bench-") as temporary:
                run = _run(Path(temporary), shape, row_tokens, arguments, peak)
            told["runs"].append(run)
            print(json.dumps(run), file=sys.stderr)
    print(json.dumps(told, indent=1))
    return 0


def _run(
    folder: Path, name: str, row_tokens: int, arguments: argparse.Namespace, peak: float | None
) -> dict[str, Any]:
    shape = make_student(SHAPES[name], row_tokens, folder / "student")
    vocabulary = SHAPES[name].get("vocab_size", VOCABULARY)
    # Lengths as of reasoning traces: a few thousand tokens, a few documents in a row.
    documents = make_documents(64, vocabulary, row_tokens, scale=row_tokens / 4)
    lengths = [len(document) for document in documents]
    flops_per_token = shape.flops(lengths, sum(lengths) - len(lengths)) / sum(lengths)
    task = {
        "student": str(folder / "student"),
        "documents": documents,
        "row_tokens": row_tokens,
        "batch_size": 1,
        "steps_per_round": arguments.steps,
        "rounds": arguments.rounds,
    }
    settings = {"precision": "bf16", "zero_stage": 1, "activation_checkpointing": True}
    run: dict[str, Any] = {
        "student": name,
        "row_tokens": row_tokens,
        "packed_difference": packed_difference(folder / "student", "documents"),
        "valley": measured(
            Trainer(
                "valley", sys.executable, {**task, "how": "valley", "settings": settings}, folder
            ),
            arguments.rounds,
        ),
    }
    if arguments.peers:
        try:
            peer = {**task, "how": "trl", "settings": settings}
            run["trl"] = measured(Trainer("trl", arguments.peers, peer, folder), arguments.rounds)
        except RuntimeError as error:  # out of memory is a result
            run["trl"] = {"failed": str(error)[-500:]}
    for who in ("valley", "trl"):
        if peak and "tokens_per_s" in run.get(who, {}):
            flops_per_s = run[who]["tokens_per_s"] * flops_per_token
            run[who]["mfu"] = round(flops_per_s / peak / 1e12, 4)
    return run


if __name__ == "__main__":
    sys.exit(main())
