"""Measures what LiveCodeBench's own grader says, in an interpreter that has numpy and tqdm.

    python tests/evaluate/lcb_upstream.py CHECKOUT [PROGRAMS.json VERDICTS.json]

CHECKOUT is a clone of LiveCodeBench at commit 28fef95, outside this repository; nothing of it is
contained. Without files the cases of `lcb_cases.py` are measured, and `lcb_golden.json` is written.
PROGRAMS (a time limit of 6 s each) holds a list of [tests as pairs, function or null, program]; VERDICTS one [passed, error
code or 0, results] for each. What upstream prints goes to stderr.
"""

import json
import os
import sys
from pathlib import Path

DEFAULT_TIMEOUT_S = 6
GOLDEN = Path(__file__).with_name("lcb_golden.json")


def measure(programs, timeout_s, workers=2):
    from lcb_runner.evaluation.compute_code_generation_metrics import evaluate_generations
    from lcb_runner.evaluation.pass_k_utils import compute_metrics_from_results

    samples = []
    for pairs, function, _ in programs:
        inputs, outputs = zip(*pairs, strict=True)
        in_outs = {"inputs": inputs, "outputs": outputs, "fn_name": function}
        samples.append({"input_output": json.dumps(in_outs)})
    generations = [[program] for _, _, program in programs]
    results, metadata = evaluate_generations(
        samples, generations, num_process_evaluate=workers, timeout=timeout_s
    )
    verdicts = []
    for i in range(len(programs)):
        try:
            passed = bool(compute_metrics_from_results({0: results[i]}, [1])["pass@1"] == 1)
        except Exception:  # results that it cannot compare with 0
            passed = False
        plain = [int(x) if isinstance(x, bool | int) else repr(x) for x in results[i][0]]
        verdicts.append([passed, metadata[i][0].get("error_code", 0), plain])
    return verdicts


def main():
    checkout, *files = sys.argv[1:]
    sys.path[:0] = [checkout]
    out = os.dup(1)
    os.dup2(2, 1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    if files:
        verdicts = measure(json.loads(Path(files[0]).read_text()), DEFAULT_TIMEOUT_S)
        Path(files[1]).write_text(json.dumps(verdicts))
        return
    from lcb_cases import ANSWERS, CASES, TESTS, TIMEOUT_S
    from lcb_runner.lm_styles import LMStyle
    from lcb_runner.utils.extraction_utils import extract_code

    programs = [
        (TESTS[name].pairs, TESTS[name].function, program) for name, program in CASES.values()
    ]
    verdicts = dict(zip(CASES, measure(programs, TIMEOUT_S), strict=True))
    python = "{}.{}".format(*sys.version_info)
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in verdicts.items()]
    answers = [json.dumps(extract_code(text, LMStyle.OpenAIChat)) for text in ANSWERS]
    GOLDEN.write_text(
        f'{{"python": "{python}",\n"verdicts": {{\n'
        + ",\n".join(lines)
        + '\n},\n"answers": [\n'
        + ",\n".join(answers)
        + "\n]}\n"
    )
    os.write(out, f"{len(verdicts)} verdicts in {GOLDEN}\n".encode())


if __name__ == "__main__":
    main()
