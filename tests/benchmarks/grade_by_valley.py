"""One round of our grader, in a process of its own: `python grade_by_valley.py ROUND.json RESULT.json`.

The round is what `rounds.py` writes; the result holds a status for each program, and the seconds that
grading took: neither starting Python nor reading the round.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path

from valley.data.problems import Problem
from valley.evaluate.config import GradeConfig
from valley.evaluate.grade import check_programs


def main() -> None:
    """Grade what the round asks for."""
    logging.basicConfig(level=logging.WARNING)
    asked = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    problems = [Problem(**fields) for fields in asked["problems"]]
    programs = [(problems[number], code) for number, code in asked["programs"]]
    config = GradeConfig(**asked["settings"])
    started = time.perf_counter()
    verdicts = check_programs(programs, config, workers=asked["workers"])
    seconds = time.perf_counter() - started
    result = {"seconds": seconds, "statuses": [verdict.status for verdict in verdicts]}
    Path(sys.argv[2]).write_text(json.dumps(result), encoding="utf-8")


if __name__ == "__main__":
    main()
