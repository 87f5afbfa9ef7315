"""One round of LiveCodeBench's grader: `python grade_by_lcb.py ROUND.json RESULT.json [CHECKOUT]`.

Runs in an interpreter that need not know this repository: with a checkout it is upstream's grader,
without one the package `nvidia-livecodebench`. The seconds are those of its own entry point.
"""

import contextlib
import importlib
import json
import os
import sys
import time
from pathlib import Path

# The last of a program's results says how it ended; upstream gives False for a function's wrong value.
STATUSES = {
    True: "passed",
    False: "wrong_answer",
    -1: "runner_error",
    -2: "wrong_answer",
    -3: "time_limit",
    -4: "runtime_error",
    -5: "runner_error",
}


def main() -> None:
    """Grade what the round asks for."""
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if len(sys.argv) > 3:
        sys.path.insert(0, sys.argv[3])
    package = "lcb_runner" if len(sys.argv) > 3 else "livecodebench"
    grader = importlib.import_module(f"{package}.evaluation.compute_code_generation_metrics")
    samples = [lcb_sample(problem) for problem in asked["problems"]]
    of_programs = [samples[number] for number, _ in asked["programs"]]
    generations = [[code] for _, code in asked["programs"]]
    limits = {problem["time_limit_s"] for problem in asked["problems"]}
    if len(limits) != 1 or limits != {int(limit) for limit in limits}:
        sys.exit(f"time_limit_s: {limits} found; LiveCodeBench has one for all, in whole seconds")
    with (
        open(os.devnull, "w") as nowhere,
        contextlib.redirect_stdout(nowhere),
        contextlib.redirect_stderr(nowhere),
    ):
        started = time.perf_counter()
        _, results, _ = grader.codegen_metrics(
            of_programs,
            generations,
            k_list=[1],
            num_process_evaluate=asked["workers"],
            timeout=int(limits.pop()),
        )
        seconds = time.perf_counter() - started
    statuses = [status(results[number][0]) for number in range(len(generations))]
    result = {"seconds": seconds, "statuses": statuses}
    Path(sys.argv[2]).write_text(json.dumps(result), encoding="utf-8")


def lcb_sample(problem: dict) -> dict[str, str]:
    """A problem as LiveCodeBench has it."""
    inputs = [test["input"] for test in problem["tests"]]
    tests = {"inputs": inputs, "outputs": [test["output"] for test in problem["tests"]]}
    return {"input_output": json.dumps({**tests, "fn_name": problem["function"]})}


def status(results: list) -> str:
    """How a program ended, as our grader would call it: it stops at its first failure.

    Upstream takes what is above 0 for passed, and so whatever a cheat's comparison gave it.
    """
    last = results[-1]
    return "passed" if last > 0 else STATUSES.get(last, "runner_error")


if __name__ == "__main__":
    main()
