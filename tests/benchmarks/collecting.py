"""How long collecting takes: `python tests/benchmarks/collecting.py --results 100000`.

Makes a store of grade results as grade jobs write them, each its own cell, collects it three times (first,
from the cache, and with one result changed), and prints seconds by the clock and of CPU time. `--lists` writes
the counts as results from before had them; `--generate` writes each cell's generation too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

REPOSITORY = Path(__file__).parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "analysis")]

from valley.data.problems import Problem  # noqa: E402
from valley.evaluate.per_problem import pack  # noqa: E402
from valley.evaluate.samples import Sample, Verdict  # noqa: E402
from valley.evaluate.score import score  # noqa: E402

SIZES = [round(10 ** (2 + i / 50)) for i in range(200)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--results", type=int, default=100_000)
    parser.add_argument("--problems", type=int, default=880)
    parser.add_argument(
        "--lists", action="store_true", help="as results from before had the counts"
    )
    parser.add_argument("--generate", action="store_true", help="each cell has a generation too")
    parser.add_argument(
        "--folder", type=Path, help="keep the store there; default: a temporary one"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        root = options.folder or Path(temporary)
        if not (root / "sweeps/bench/manifest.jsonl").exists():
            began = time.perf_counter()
            size = _make(root, options)
            files = options.results * (1 + options.generate)
            print(f"made {files} results of {size} bytes in {time.perf_counter() - began:.0f} s")
        for name in ("results.cache", "manifest.cache"):
            (root / "sweeps/bench" / name).unlink(missing_ok=True)
        began = time.perf_counter()
        for path in root.glob("store/grade/*/*/result.json"):
            path.read_bytes()
        print(f"floor: finding, opening and reading the files {time.perf_counter() - began:.2f} s")
        _time(root)


def _time(root: Path) -> None:
    began = time.perf_counter()
    import collect

    print(f"import {time.perf_counter() - began:.2f} s")
    with _timed("first"):
        found = collect.collect(root, "bench")
    with _timed("from the cache"):
        again = collect.collect(root, "bench")
    assert found.table.equals(again.table)
    with _timed("writing csv and parquet"):
        collect.write_table(found)
    path = next(root.glob("store/grade/*/*/result.json"))
    path.write_bytes(path.read_bytes())
    with _timed("one result changed"):
        collect.collect(root, "bench")
    with _timed("all per-problem counts"):
        sum(int(counts.passed.sum()) for counts in found.counts.values())


@contextmanager
def _timed(what: str) -> Iterator[None]:
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    yield
    print(f"{what}: {time.perf_counter() - wall_s:.2f} s, CPU {time.process_time() - cpu_s:.2f} s")


def _make(root: Path, options: argparse.Namespace) -> int:
    """Write the store and its manifest; returns the bytes of one result."""
    rng = np.random.default_rng(0)
    shape = lambda value: value if options.lists else pack(value)  # noqa: E731
    outcomes = [shape(_outcome(options.problems, rng)) for _ in range(8)]
    texts = [_split(outcome) for outcome in outcomes]
    size = 0
    manifest = root / "sweeps/bench/manifest.jsonl"
    manifest.parent.mkdir(parents=True)
    with manifest.open("w", encoding="utf-8") as lines:
        for number in range(options.results):
            axes = {
                "student": "7b",
                "stage": 1 + number % 2,
                "size": SIZES[number // 2 % len(SIZES)],
                "difficulty": "all",
                "correctness": "all",
                "seed": number // 400,
            }
            label = "-".join(map(str, axes.values()))
            jobs: dict[str, str | None] = {"train": None}
            for kind in ("generate", "grade"):
                identity = hashlib.sha256(f"{kind} {number}".encode()).hexdigest()
                jobs[kind] = f"{kind}/{identity[:2]}/{label}-greedy-{identity[:16]}"
                text = texts[number % 8] if kind == "grade" else _split({"samples": 880})
                if kind == "grade" or options.generate:
                    folder = root / "store" / str(jobs[kind])
                    folder.mkdir(parents=True)
                    content = text(kind, identity, label)
                    (folder / "result.json").write_text(content, encoding="utf-8")
                    size = len(content)
            line = {"schema": "valley.cell/1", "cell": label, "profile": "greedy", "axes": axes}
            before = [f"prepare/ab/pool-{i}-0123456789abcdef" for i in range(4)]
            line |= {"steps": 100, "before": before, "jobs": jobs}
            lines.write(json.dumps(line) + "\n")
    return size


def _split(outcome: dict[str, Any]) -> Callable[[str, str, str], str]:
    """A result file's text but for what differs: as `write_result` makes it, made once."""
    result = {
        "schema": "valley.result/1",
        "kind": "KIND",
        "identity": "IDENTITY",
        "label": "LABEL",
        "config": {"mode": "strict", "k": [1], "sandbox": "auto", "wall_limit_factor": 4.0},
        "inputs": {"samples": "generate/ab/LABEL-0123456789abcdef", "evaluation": "prepare/ab/e"},
        "outcome": outcome,
        "cost": {"wall_s": 81.25, "cpu_s": 80.5, "estimated_s": 90.0, "gpus": 0},
        "provenance": {
            "snapshot": "c0ffee" * 6,
            "device": "cpu",
            "hostname": "node12",
            "python": "3.11.2",
            "versions": {f"package{i}": f"1.{i}.0" for i in range(12)},
            "slurm": {"job": "123_4", "partition": "cpu"},
            "began": "2025-01-01T00:00:00",
        },
    }
    text = json.dumps(result, indent=1, sort_keys=True) + "\n"

    def filled(kind: str, identity: str, label: str) -> str:
        return text.replace("KIND", kind).replace("IDENTITY", identity).replace("LABEL", label)

    return filled


def _outcome(problems: int, rng: np.random.Generator) -> dict[str, Any]:
    """What a grade job counts of one greedy sample per problem."""
    tests = [{"input": "", "output": ""}]
    every = [
        Problem(
            id=f"p{i}", source="bench", statement="", tests=tests, date=f"2024-{1 + i % 12:02}-01"
        )
        for i in range(problems)
    ]
    answers = [
        Sample(p.id, 0, 0, "<think></think>", "stop", 100, 1000 + i) for i, p in enumerate(every)
    ]
    status = np.where(rng.random(problems) < 0.2, "passed", "wrong_answer")
    verdicts = [
        Verdict(p.id, 0, str(s), None, int(s == "passed"), 1, 0.1, 0.1)
        for p, s in zip(every, status, strict=True)
    ]
    return score(every, answers, verdicts)


if __name__ == "__main__":
    main()
