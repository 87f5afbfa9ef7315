"""Settings of selection: what makes an arm, what leaves the pool, and how a set is drawn from an arm.

`difficulty`, `correctness` and `clean` are decided when the pool is prepared, and every cell shares them.
`select` is decided for each training anew, so that its settings can be axes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from valley.data.traces import CORRECTNESSES, DIFFICULTIES

DIFFICULTY_ARMS = ("all", *DIFFICULTIES)
CORRECTNESS_ARMS = ("all", *CORRECTNESSES)


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def semantic(self) -> dict[str, Any]:
        """What differs from the defaults: a setting left alone is no part of any identity."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def _refuse(self, names: Iterable[str], found: str, needed: str) -> None:
        """Refuse settings that have no effect. Their defaults stand in every job's record, and may."""
        said = self.semantic()
        if idle := [name for name in names if name in said]:
            raise ValueError(
                f"{idle[0]} {said[idle[0]]!r} has no effect with {found}; it needs {needed}, or is to be "
                "left out (where cells differ in it, make the whole section the axis)"
            )


class DifficultyConfig(_Settings):
    """What makes a trace easy, medium or hard. What none of it fits is in no arm but `all`."""

    by: Literal["label", "pass_rate", "trace_length"] = "label"
    """The source's label of the problem; the mean pass rate of the teacher's traces of the problem; or
    the trace's length against that of all traces, in thirds: the shortest are easy."""
    easy: list[str] = ["EASY", "MEDIUM"]
    """Labels, for `by: label`; the defaults are the paper's, of TACO."""
    medium: list[str] = []
    hard: list[str] = ["MEDIUM_HARD", "HARD", "VERY_HARD"]
    easy_from: float = Field(2 / 3, ge=0, le=1)
    """For `by: pass_rate`: problems with at least this mean are easy."""
    hard_below: float = Field(1 / 3, ge=0, le=1)
    """For `by: pass_rate`: problems below this mean are hard; those between are medium."""

    @model_validator(mode="after")
    def _arms_are_apart(self) -> Self:
        labels = [*self.easy, *self.medium, *self.hard]
        if twice := sorted({label for label in labels if labels.count(label) > 1}):
            raise ValueError(f"label {twice[0]!r} stands in two of easy, medium and hard")
        if self.hard_below > self.easy_from:
            raise ValueError(
                f"hard_below {self.hard_below:g} is above easy_from {self.easy_from:g}; "
                "a problem would be both"
            )
        if self.by != "label":
            self._refuse(("easy", "medium", "hard"), f"by: {self.by}", "by: label")
        if self.by != "pass_rate":
            self._refuse(("easy_from", "hard_below"), f"by: {self.by}", "by: pass_rate")
        return self


class CorrectnessConfig(_Settings):
    """What makes a trace correct or incorrect. What it says nothing of is `unknown`."""

    by: Literal["grader", "pass_rate", "judgement", "none"] = "grader"
    """The grader runs the trace's program on the problem's tests (of the traces that are kept); or the
    source's pass rate; or the source's judge; or nothing says so, where no cell asks."""
    threshold: float = Field(1.0, gt=0, le=1)
    """For `by: pass_rate`: at least this fraction of the tests passed."""

    @model_validator(mode="after")
    def _has_effect(self) -> Self:
        if self.by != "pass_rate":
            self._refuse(("threshold",), f"by: {self.by}", "by: pass_rate")
        return self


class DecontaminationConfig(_Settings):
    """Leaves out problems that are evaluated: of the same source id or URL, or much the same text."""

    ngram: int = Field(13, ge=2)
    """Words in a row that two statements share before they are compared."""
    common: float = Field(0.001, ge=0, lt=1)
    """Runs of words in more than this fraction of all statements, and in more than 10, count for
    nothing: they are how contests speak."""
    similarity: float = Field(0.5, gt=0, le=1)
    """The fraction of the shorter statement's words that must stand in the other in runs of 4 or more."""


class CleanConfig(_Settings):
    """What leaves the pool, for all cells. Each removal is listed in the pool's `removed.jsonl`."""

    special_judge: Literal["keep", "drop"] = "keep"
    """Problems of which several outputs are right: a grader's "incorrect" may be wrong of them."""
    duplicates: Literal["exact", "near"] | None = None
    """`exact`: of traces with one text, all but one. `near`: also of those of one problem whose texts
    are alike by `near_similarity`."""
    near_similarity: float = Field(0.8, gt=0, le=1)
    """The share of 16-byte runs that two traces have in common, as estimated from a sketch."""
    decontaminate: DecontaminationConfig | None = None
    """`{}` turns it on. The pool then rests on the evaluation set: another set prepares it anew."""

    @model_validator(mode="after")
    def _has_effect(self) -> Self:
        if self.duplicates != "near":
            found = f"duplicates: {self.duplicates or 'null'}"
            self._refuse(("near_similarity",), found, "duplicates: near")
        return self


class MatchConfig(_Settings):
    """Arms that are made alike in all but what they are compared in."""

    arms: list[str] = Field(min_length=2)
    """Such as `[all/correct, all/incorrect]`: difficulty and correctness. Other arms are not touched."""
    by: list[Literal["length", "difficulty", "label", "problem", "teacher", "source"]] = Field(
        min_length=1
    )
    """What matched traces have in common. `problem` is correct and incorrect traces of one problem;
    `teacher` holds by itself beside `data.select.teacher`."""
    bins_per_doubling: int = Field(2, ge=1, le=64)
    """How finely lengths are matched: 2 are bins whose longest is 1.41 times as long as its shortest."""

    @model_validator(mode="after")
    def _arms_are_apart(self) -> Self:
        pairs = [_arm(name) for name in self.arms]
        for number, (difficulty, correctness) in enumerate(pairs):
            for other in pairs[:number]:
                apart = [
                    mine != theirs and "all" not in (mine, theirs)
                    for mine, theirs in zip((difficulty, correctness), other, strict=True)
                ]
                if not any(apart):
                    raise ValueError(
                        f"arms {'/'.join(other)} and {difficulty}/{correctness} share traces; "
                        "matched arms differ in difficulty or in correctness, neither of them `all`"
                    )
        if "difficulty" in self.by and len({difficulty for difficulty, _ in pairs}) > 1:
            raise ValueError("arms that differ in difficulty cannot be matched on it")
        if twice := [name for name in self.by if self.by.count(name) > 1]:
            raise ValueError(f"by: {twice[0]} stands there twice; leave one out")
        if "length" not in self.by:
            found = f"by: [{', '.join(self.by)}]"
            self._refuse(("bins_per_doubling",), found, "`length` in by")
        return self


class MixConfig(_Settings):
    """A set that is put together by shares, the same in every nested size."""

    by: Literal["teacher", "length", "difficulty", "correctness", "source"]
    shares: dict[str, float] = Field(min_length=1)
    """By value, such as `{long: 1, short: 4}`; of any sum. What is not named is left out."""
    split_characters: int | None = Field(None, ge=1)
    """For `by: length`: longer traces are `long`. Null: longer than the arm's median."""

    @model_validator(mode="after")
    def _values_exist(self) -> Self:
        allowed = {
            "length": ("long", "short"),
            "difficulty": DIFFICULTIES,
            "correctness": CORRECTNESSES,
        }
        for value, share in self.shares.items():
            if self.by in allowed and value not in allowed[self.by]:
                raise ValueError(
                    f"shares: {value!r} found; expected of {', '.join(allowed[self.by])}"
                )
            if not 0 < share < float("inf"):
                raise ValueError(f"shares: {value} has {share:g}; expected a number above 0")
        if self.by != "length":
            self._refuse(("split_characters",), f"by: {self.by}", "by: length")
        return self


class PerturbConfig(_Settings):
    """What is done to the texts of chosen traces: the same to a trace in every set that holds it."""

    kind: Literal["answer_corrupted", "steps_shuffled", "steps_deleted"]
    share: float = Field(1.0, gt=0, le=1)
    """Of the traces."""
    fraction: float = Field(0.5, gt=0, lt=1)
    """Of a trace's steps that `steps_deleted` takes away."""

    @model_validator(mode="after")
    def _has_effect(self) -> Self:
        if self.kind != "steps_deleted":
            self._refuse(("fraction",), f"kind: {self.kind}", "kind: steps_deleted")
        return self


class SelectConfig(_Settings):
    """How a training set is drawn from its arm. Nothing is set by default: the traces of lowest rank."""

    teacher: str | None = None
    """Only this teacher's traces; as an axis, `data.select.teacher: [A, B]`."""
    traces_per_problem: int | None = Field(None, ge=1)
    """At most so many of one problem, those of lowest rank in the arm."""
    unit: Literal["trace", "problem"] = "trace"
    """What is ranked. Problems come with all their traces, up to `traces_per_problem`."""
    size_in: Literal["traces", "problems", "tokens", "characters"] = "traces"
    """What a cell's `size` counts. Of tokens and characters, the longest beginning that is within it."""
    match: MatchConfig | None = None
    mix: MixConfig | None = None
    perturb: PerturbConfig | None = None

    @model_validator(mode="after")
    def _controls_agree(self) -> Self:
        if self.size_in == "problems" and self.unit != "problem":
            raise ValueError("size_in: problems needs unit: problem; set both")
        if self.match is not None and self.mix is not None:
            raise ValueError("match and mix: shares would break the balance of arms; keep one")
        if self.teacher is not None and self.mix is not None and self.mix.by == "teacher":
            raise ValueError("teacher and mix by teacher: there is one teacher to share; keep one")
        if self.unit == "problem" and self.mix is not None:
            raise ValueError("unit: problem and mix: shares are of traces; keep one")
        if self.unit == "problem" and self.match is not None and "problem" not in self.match.by:
            raise ValueError("unit: problem with match needs `problem` in match.by")
        return self

    def of_arm(self, difficulty: str, correctness: str) -> dict[str, Any]:
        """What of it makes a difference to an arm: a match of other arms does not."""
        said = self.semantic()
        if self.match is not None and f"{difficulty}/{correctness}" not in self.match.arms:
            del said["match"]
        return said


def _arm(name: str) -> tuple[str, str]:
    difficulty, _, correctness = name.partition("/")
    if difficulty not in DIFFICULTY_ARMS or correctness not in CORRECTNESS_ARMS:
        raise ValueError(
            f"arms: {name!r} found; expected DIFFICULTY/CORRECTNESS, of {', '.join(DIFFICULTY_ARMS)} "
            f"and {', '.join(CORRECTNESS_ARMS)}"
        )
    return difficulty, correctness
