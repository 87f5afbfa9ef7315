"""Training sets as others release them, such as the paper's splits: a question and a response in each row.

What the paper's files call their columns is not published where it could be read. A row is a chat
(`messages`, `conversations`) or has a column for each of the two, which are found by the usual names, or
named in the grid. Such rows have no tests: what is easy or right is what the grid says of the file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from valley.data.candidates import Candidate, Wanted, everything
from valley.data.problems import Problem
from valley.data.sources import shards
from valley.data.sources.open_code_rows import short, split_thought
from valley.data.sources.question_sets import label
from valley.data.traces import Trace
from valley.errors import UserError

CHATS = ("messages", "conversations")
QUESTIONS = ("question", "problem", "prompt", "instruction", "input")
RESPONSES = ("response", "generation", "completion", "output", "answer")
ASKS, ANSWERS = ("user", "human"), ("assistant", "gpt")


@dataclass(frozen=True)
class Stated:
    """What the grid says of all rows."""

    difficulty: str | None = None
    correct: bool | None = None
    teacher: str = ""


class Released:
    """The rows of one released training set."""

    def __init__(
        self,
        where: str,
        paths: Sequence[Path],
        question: str | None,
        response: str | None,
        label_column: str | None,
        stated: Stated,
    ) -> None:
        """Read nothing yet.

        Args:
            where: the setting that names the files, for messages.
            question, response, label_column: columns; None is looked for (of a label: there is none).
        """
        self._where, self._paths, self._stated = where, paths, stated
        self._question, self._response, self._label = question, response, label_column
        self._counts: Counter[str] = Counter()

    def problems(self, wanted: Wanted = everything) -> Iterator[Problem]:
        """Yield each wanted question once, without tests."""
        seen: set[str] = set()
        for question, _, stated in self._rows():
            identity = _identity(question) if question else ""
            if question and identity not in seen and wanted(identity):
                seen.add(identity)
                yield Problem(identity, "paper", question, tests=[], difficulty=stated)

    def candidates(self) -> Iterator[Candidate]:
        """Yield the rows with a question and a whole response."""
        self._counts.clear()
        seen: Counter[str] = Counter()
        for question, response, stated in self._rows():
            self._counts["rows"] += 1
            parts, why = split_thought(response)
            if parts is None or not question:
                self._counts[f"left out: {why or 'no question'}"] += 1
                continue
            self._counts["candidates"] += 1
            problem = _identity(question)
            identity = f"{problem}/{short(response or '')}"
            seen[identity] += 1
            if seen[identity] > 1:  # equal rows are told apart by how many stand before them
                identity = f"{identity}/{seen[identity]}"
            known = self._stated
            trace = Trace(
                identity, problem, *parts, known.correct, known.difficulty, teacher=known.teacher
            )
            yield Candidate(trace, stated, None, None, "paper", problem)

    def counts(self) -> dict[str, int]:
        """Rows, candidates, and what was left out by reason."""
        return dict(sorted(self._counts.items()))

    def _rows(self) -> Iterator[tuple[str | None, str | None, str | None]]:
        """Yield question, response and label of each row."""
        columns = shards.columns_of(self._paths[0])
        chat = next((name for name in CHATS if name in columns), None)
        more = (self._label,) if self._label else ()
        if chat is not None and self._question is None and self._response is None:
            for batch in shards.read(self._paths, (chat, *more)):
                for row in batch.rows():
                    yield (*_turns(row[chat]), label(row[self._label]) if self._label else None)
            return
        question = self._question or self._found("question", QUESTIONS, columns)
        response = self._response or self._found("response", RESPONSES, columns)
        for batch in shards.read(
            self._paths, (question, response, *more), texts=(question, response)
        ):
            for row in batch.rows():
                stated = label(row[self._label]) if self._label else None
                yield row[question], row[response], stated

    def _found(self, what: str, usual: Sequence[str], columns: Sequence[str]) -> str:
        for name in usual:
            if name in columns:
                return name
        raise UserError(
            f"{self._where}: {self._paths[0]} has no column for the {what} (looked for: "
            f"{', '.join((*CHATS, *usual))}; there are: {', '.join(columns)}); name it by `{what}`"
        )


def _turns(chat: Any) -> tuple[str | None, str | None]:
    """The first question and the last answer of a chat."""
    asked: list[str] = []
    answered: list[str] = []
    for turn in chat or []:
        role = turn.get("role", turn.get("from"))
        text = turn.get("content", turn.get("value"))
        if text and role in ASKS:
            asked.append(text)
        elif text and role in ANSWERS:
            answered.append(text)
    return (asked[0] if asked else None), (answered[-1] if answered else None)


def _identity(question: str) -> str:
    return f"paper/{short(question)}"
