"""Flags: why a problem's verdicts are in doubt, so that a score can be told without it too.

| flag            | meaning                                                                       |
|-----------------|-------------------------------------------------------------------------------|
| `lcb_errata`    | LiveCodeBench's own list of problems that cannot be graded rightly            |
| `special_judge` | several outputs are right, and the problem carries only one of them           |

A problem carries the flags that whoever made it knew of (`Problem.flags`, any words). To them are added
the errata, by the problem's id, and `special_judge` by what the statement says. TACO's authors mark
218 of their 1,000 test problems (`output_spj.jsonl` in their repository, by row): who converts TACO
puts that mark into `flags`. For its training problems, which have no such list, and for all others
this heuristic, which is ours, goes by the sentences with which contests announce a special judge. It
knows nothing of problems that do not say so.
"""

from __future__ import annotations

import re

from valley.data.problems import Problem

# By ERRATA.md of github.com/LiveCodeBench/LiveCodeBench at 28fef95.
LCB_ERRATA = {
    "abc311_c": "several answers are right",
    "abc326_d": "several answers are right",
    "abc327_b": "several answers are right",
    "abc333_e": "several answers are right",
    "abc343_e": "several answers are right",
    "abc362_c": "several answers are right",
    "find-words-containing-character": "several answers are right",
    "find-the-peaks": "several answers are right",
    "generate-binary-strings-without-adjacent-zeros": "several answers are right",
    "arc185_c": "several answers are right",
    "abc343_a": "several answers are right",
    "abc337_e": "interactive",
    "abc355_e": "interactive",
    "abc350_c": "a test is wrong",
    "apply-operations-to-make-string-empty": "a test is wrong: an empty string",
    "most-frequent-ids": "a test breaks the constraints",
    "arc189_a": "a test's output is wrong",
}
"""LiveCodeBench's `question_id` for AtCoder, its `question_title` for LeetCode; and what is wrong."""

JUDGED = ("unordered", "checker")
"""Rules of comparison that several right outputs are no trouble for."""

_GIVE = r"\b(?:print|output|return|find|display|report|give|construct|choose)\b"
_OF = (
    r"(?: one)?(?:\s*[.;]|$|"
    r" (?:of )?(?:the|them|these|those|such|valid|correct|suitable|possible|optimal|order)\b)"
)
_ANSWERS = r"\b(?:answer|solution|output|option|way|result)s?\b"
_NEAR = r"(?:(?!\bif\b|\bwhether\b)[^.]){0,60}"
SPECIAL_JUDGE = re.compile(
    rf"{_GIVE}{_NEAR}\bany{_OF}"
    rf"|\b(?:several|multiple|many|more than one|different)\b{_NEAR}{_ANSWERS}{_NEAR}\b(?:any|either)\b"
    rf"|\bany (?:valid |correct )?{_ANSWERS}{_NEAR}\b(?:accepted|allowed)\b"
    r"|\bspecial (?:judge|checker)\b",
    re.IGNORECASE,
)


def flags_of(problem: Problem) -> list[str]:
    """The flags that a problem carries, and those that are known of it, in order.

    >>> tests = [{"input": "", "output": "1 2"}]
    >>> flags_of(Problem("p", "mine", "If there are several answers, print any of them.", tests))
    ['special_judge']
    """
    flags = set(problem.flags)
    if problem.id.rpartition("/")[2] in LCB_ERRATA:
        flags.add("lcb_errata")
    judged = problem.compare.get("rule") in JUDGED
    if not judged and SPECIAL_JUDGE.search(" ".join(problem.statement.split())):
        flags.add("special_judge")
    return sorted(flags)
