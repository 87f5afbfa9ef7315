"""Labels: how hard a candidate's problem is and whether its trace is correct, by the grid's rules.

Some rules need to know all candidates before they can judge one (thirds of the lengths, a teacher's mean
pass rate of a problem); `Survey` is what is known of them then, from a pass of its own.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from valley.data.candidates import Candidate
from valley.data.duplicates import Duplicates
from valley.data.selection_config import CleanConfig, CorrectnessConfig, DifficultyConfig

BILLION = 10**9


@dataclass
class Survey:
    """What a first pass over all candidates takes note of."""

    difficulty: DifficultyConfig | None
    duplicates: Duplicates | None
    _lengths: array[int] = field(default_factory=lambda: array("q"))
    _pass_rates: dict[str, list[int]] = field(default_factory=lambda: defaultdict(lambda: [0, 0]))
    """By problem, the sum of known pass rates and their number. In billionths: a sum of whole numbers
    is the same in any order."""

    @classmethod
    def wanted(cls, difficulty: DifficultyConfig | None, clean: CleanConfig) -> Survey | None:
        """A survey, where the settings need one: it reads all texts once more."""
        duplicates = Duplicates(clean) if clean.duplicates else None
        by_all = difficulty is not None and difficulty.by != "label"
        return cls(difficulty, duplicates) if by_all or duplicates else None

    def see(self, candidate: Candidate) -> None:
        """Take note of a candidate."""
        trace = candidate.trace
        if self.duplicates is not None:
            self.duplicates.see(trace)
        if self.difficulty is None:
            return
        if self.difficulty.by == "trace_length":
            self._lengths.append(len(trace.thinking) + len(trace.answer))
        elif self.difficulty.by == "pass_rate" and candidate.pass_rate is not None:
            known = self._pass_rates[trace.problem_id]
            known[0] += round(candidate.pass_rate * BILLION)
            known[1] += 1

    def thirds(self) -> tuple[int, int]:
        """The longest of the shortest third of all traces, and of the shortest two thirds, in characters."""
        lengths = np.sort(np.frombuffer(self._lengths, dtype=np.int64))
        if not len(lengths):
            return 0, 0
        return int(lengths[(len(lengths) - 1) // 3]), int(lengths[(len(lengths) - 1) * 2 // 3])

    def pass_rates(self) -> dict[str, float]:
        """The mean pass rate of each problem's traces, where some are known."""
        return {name: rate / count / BILLION for name, (rate, count) in self._pass_rates.items()}


class DifficultyRule:
    """Says what a candidate's difficulty is; without settings, what its trace says itself."""

    def __init__(self, config: DifficultyConfig | None, survey: Survey | None) -> None:
        """Prepare the rule.

        Args:
            survey: of all candidates, where `config.by` is not `label`.
        """
        self._config = config
        self._of_label: dict[str, str] = {}
        self._thirds = (0, 0)
        self._pass_rates: dict[str, float] = {}
        if config is not None:
            for arm in ("easy", "medium", "hard"):
                self._of_label.update(dict.fromkeys(getattr(config, arm), arm))
            if survey is not None:
                self._thirds, self._pass_rates = survey.thirds(), survey.pass_rates()

    def of(self, candidate: Candidate) -> str | None:
        """The difficulty; None where it is in no arm."""
        config, trace = self._config, candidate.trace
        if config is None:
            return trace.difficulty
        if config.by == "label":
            return trace.difficulty or self._of_label.get(candidate.label or "")
        if config.by == "trace_length":
            length = len(trace.thinking) + len(trace.answer)
            return ("easy", "medium", "hard")[sum(length > edge for edge in self._thirds)]
        rate = self._pass_rates.get(trace.problem_id)
        if rate is None:
            return None
        if rate < config.hard_below:
            return "hard"
        return "easy" if rate >= config.easy_from else "medium"


class CorrectnessRule:
    """Says whether a candidate is correct, where that is known before anything is graded."""

    def __init__(self, config: CorrectnessConfig) -> None:
        self._config = config
        self.name: str = config.by
        """What stands in the provenance."""
        if config.by == "pass_rate":
            self.name = f"pass_rate >= {config.threshold:g}"

    @property
    def grades(self) -> bool:
        """Whether the grader is to decide what is unknown."""
        return self._config.by == "grader"

    def of(self, candidate: Candidate) -> tuple[bool | None, str]:
        """Whether it is correct, None where that is unknown; and what says so."""
        if candidate.trace.correct is not None:
            return candidate.trace.correct, "source"
        if self._config.by == "judgement":
            return candidate.judgement, self.name
        if self._config.by == "pass_rate":
            rate = candidate.pass_rate
            return (None if rate is None else rate >= self._config.threshold), self.name
        return None, self.name
