"""Contamination: training problems that are evaluation problems, word for word or in other words.

1. Statements become words: lower case, without punctuation.
2. Runs of 13 words that stand in more than 0.1 % of all statements are how contests speak, and count for
   nothing.
3. A training problem that shares a run with an evaluation problem is compared with it: the words of the
   shorter statement that stand in the other in runs of 4 or more, as a fraction.
4. It is removed if that is enough, or if both have one source id, one URL, or one text.

Runs are hashed by arithmetic on whole arrays: 35,000 statements of 300 words take seconds.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from valley.data.problems import Problem
from valley.data.selection_config import DecontaminationConfig

WORD = re.compile(r"\w+")
COMMON_AT_LEAST = 10
"""In no more statements than this is a run common, however few statements there are."""
RUN = 4
"""Least words in a row that count as shared when two statements are compared."""
MULTIPLIER = 0x9E3779B97F4A7C15
Hashes = NDArray[np.uint64]

# What names a problem at its judge, out of the address that a source gives.
ADDRESSES = (
    (re.compile(r"codeforces\.com/(?:contest|gym)/(\d+)/problem/(\w+)"), "codeforces/{0}_{1}"),
    (re.compile(r"codeforces\.com/problemset/problem/(\d+)/(\w+)"), "codeforces/{0}_{1}"),
    (re.compile(r"atcoder\.jp/contests/[\w-]+/tasks/(\w+)"), "atcoder/{0}"),
    (re.compile(r"leetcode\.(?:com|cn)/problems/([\w-]+)"), "leetcode/{0}"),
)


@dataclass(frozen=True)
class Removal:
    """One training problem that is removed, and why."""

    problem_id: str
    evaluation_id: str
    reason: str
    """`same source id`, `same address`, `same text`, or `similar text`."""
    shared_runs: int = 0
    similarity: float = 1.0

    def said(self) -> dict[str, Any]:
        """As `removed.jsonl` holds it."""
        return {"removed": "contaminated", **asdict(self)}


@dataclass(frozen=True)
class _Statement:
    words: Hashes
    """The words as numbers, in their order."""
    runs: Hashes
    """Of the runs of words; distinct, sorted."""


def contaminated(
    training: Iterable[Problem], evaluation: Iterable[Problem], config: DecontaminationConfig
) -> dict[str, Removal]:
    """The training problems that are to be removed, by id.

    The order of either side does not matter. Of problems their words are held, and nothing else.
    """
    hasher = _Hasher(config.ngram)
    asked: dict[str, _Statement] = {}
    names: dict[str, str] = {}
    texts: dict[bytes, str] = {}
    for problem in evaluation:
        statement = asked[problem.id] = hasher.statement(problem)
        for name in _names(problem):
            names[name] = min(problem.id, names.get(name, problem.id))
        text = statement.words.tobytes()
        texts[text] = min(problem.id, texts.get(text, problem.id))
    found: dict[str, Removal] = {}
    taught: dict[str, _Statement] = {}
    for problem in training:
        statement = taught[problem.id] = hasher.statement(problem)
        text = statement.words.tobytes()
        if shared := sorted(_names(problem) & names.keys()):
            reason = "same source id" if problem.id.lower() in shared else "same address"
            found[problem.id] = Removal(problem.id, names[shared[0]], reason)
        elif text and text in texts:
            found[problem.id] = Removal(problem.id, texts[text], "same text")
    rare = _rare_runs(asked, taught, config.common)
    for problem_id, statement in taught.items():
        if problem_id not in found:
            removal = _most_similar(problem_id, statement, asked, rare, config.similarity)
            if removal is not None:
                found[problem_id] = removal
    return dict(sorted(found.items()))


def similarity(one: Sequence[Hashable], other: Sequence[Hashable]) -> float:
    """The fraction of the shorter text's words that stand in the other in runs of `RUN` or more.

    >>> similarity("you are given a tree of n nodes".split(), "you are given a tree".split())
    1.0
    >>> similarity("a b c d x y z w".split(), "a b c d 1 2 3 4 5".split())
    0.5
    """
    shorter, longer = sorted((one, other), key=len)
    if not shorter:
        return 0.0
    blocks = difflib.SequenceMatcher(None, shorter, longer, autojunk=False).get_matching_blocks()
    return sum(block.size for block in blocks if block.size >= RUN) / len(shorter)


def _names(problem: Problem) -> set[str]:
    """What a problem is called: its id, and its place at the judge, as its address or platform names it."""
    names = {problem.id.lower()}
    if problem.platform:
        names.add(f"{problem.platform}/{problem.id.rpartition('/')[2]}".lower())
    if problem.url:
        url = problem.url.lower()
        found = [(pattern.search(url), name) for pattern, name in ADDRESSES]
        known = [name.format(*match.groups()) for match, name in found if match]
        names.update(known or [re.sub(r"^https?://(www\.)?", "", url).rstrip("/")])
    return names


class _Hasher:
    """Turns statements into hashes of their runs. The same words have the same hash on every machine."""

    def __init__(self, length: int) -> None:
        self._length = length
        self._words: dict[str, int] = {}

    def statement(self, problem: Problem) -> _Statement:
        words = WORD.findall(problem.statement.lower())
        numbers = np.array([self._number(word) for word in words], dtype=np.uint64)
        length = min(self._length, len(words))
        runs = np.zeros(len(words) - length + 1 if words else 0, dtype=np.uint64)
        with np.errstate(over="ignore"):
            for place in range(length):
                window = numbers[place : place + len(runs)]
                runs = runs * np.uint64(MULTIPLIER) + window
        return _Statement(numbers, np.unique(runs))

    def _number(self, word: str) -> int:
        number = self._words.get(word)
        if number is None:
            hashed = hashlib.blake2b(word.encode(), digest_size=8).digest()
            number = self._words[word] = int.from_bytes(hashed, "big")
        return number


def _rare_runs(
    asked: dict[str, _Statement], taught: dict[str, _Statement], common: float
) -> dict[int, list[str]]:
    """By run, the evaluation problems that it stands in; without runs that are common."""
    runs: dict[int, list[str]] = defaultdict(list)
    for name, statement in asked.items():
        for run in statement.runs.tolist():
            runs[run].append(name)
    of_asked = np.array(sorted(runs), dtype=np.uint64)
    counts = np.array([len(runs[run]) for run in of_asked.tolist()], dtype=np.int64)
    for statement in taught.values():
        places = np.searchsorted(of_asked, statement.runs)
        places[places == len(of_asked)] = 0
        counts[places[of_asked[places] == statement.runs]] += 1
    most = max(common * (len(asked) + len(taught)), COMMON_AT_LEAST)
    return {run: runs[run] for run in of_asked[counts <= most].tolist()}


def _most_similar(
    problem_id: str,
    statement: _Statement,
    asked: dict[str, _Statement],
    rare: dict[int, list[str]],
    least: float,
) -> Removal | None:
    """The evaluation problem that a training problem is most like, if it is like any."""
    shared: dict[str, int] = defaultdict(int)
    for run in statement.runs.tolist():
        for name in rare.get(run, ()):
            shared[name] += 1
    best: Removal | None = None
    for name, count in sorted(shared.items()):
        value = round(similarity(statement.words.tolist(), asked[name].words.tolist()), 4)
        if value >= least and (best is None or value > best.similarity):
            best = Removal(problem_id, name, "similar text", count, value)
    return best
