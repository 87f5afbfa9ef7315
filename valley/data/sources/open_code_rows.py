"""What a row of OpenCodeReasoning says, in either release: a thought and an answer, labels, and its id."""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import Any

from valley.data.candidates import Candidate
from valley.data.sources.question_sets import CALLED, label
from valley.data.traces import Trace
from valley.evaluate.extract import THINK_CLOSE, THINK_OPEN


def stated_of(row: dict[str, Any]) -> Candidate:
    """What the columns of a row state of a trace, without its text; a column may be missing."""
    ignored: Counter[str] = Counter()
    return Candidate(
        Trace("", "", "", ""),
        label=label(row.get("difficulty")),
        pass_rate=pass_rate_of(row.get("pass_rate"), ignored),
        judgement=judgement_of(row.get("judgement"), ignored),
        source="",
        question_id=None,
    )


def split_thought(text: str | None) -> tuple[tuple[str, str] | None, str]:
    """A generation's thought and answer, or None and why it is no whole trace.

    >>> split_thought("<think>\\nhm\\n</think>\\n\\nSo: 2")[0]
    ('hm', 'So: 2')
    """
    if not text or text.isspace() or text == "-":
        return None, "no generation"
    opened, closing = text.find(THINK_OPEN), text.rfind(THINK_CLOSE)
    if closing < 0:
        # A cut thought teaches not to finish.
        return (None, "thought without an end") if opened >= 0 else (("", text.strip()), "")
    start = opened + len(THINK_OPEN) if 0 <= opened < closing else 0
    thinking, answer = text[start:closing].strip(), text[closing + len(THINK_CLOSE) :].strip()
    if not answer:
        return None, "no answer after the thought"
    return (thinking, answer), ""


def trace_id(row: dict[str, Any]) -> str:
    """The row's id; where it has none, one of what it holds, so that its place in a file is no part."""
    if row["id"]:
        return str(row["id"])
    return f"{row['dataset']}/{row['split']}/{row['index']}/{short(row['r1_generation'])}"


def short(text: str) -> str:
    """A text's SHA-256, the first 16 of its digits."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def repeated_question(row: dict[str, Any]) -> str | None:
    """The question that a row of the first release repeats, None where it only refers to one."""
    text = row["input"]
    return text if text and text.strip() not in ("", "-") else None


def comes_from(row: dict[str, Any]) -> str:
    """The question set and the split that a row of the first release names."""
    return f"{CALLED.get(row['dataset'], row['dataset'])}/{row['split']}"


def pass_rate_of(value: Any, counts: Counter[str]) -> float | None:
    """The share of tests that a trace's program passed, None where none is stated.

    Args:
        counts: counts what is stated and is no share.
    """
    if value is None or value in ("", "-", "-1"):
        return None
    try:
        rate = float(value)
    except (TypeError, ValueError):
        rate = float("nan")
    if 0 <= rate <= 1:
        return rate
    if rate != -1:
        counts["unknown: pass_rate that is no fraction"] += 1
    return None


def judgement_of(value: Any, counts: Counter[str]) -> bool | None:
    """Whether a trace's answer was judged right, None where no judgement is stated.

    Args:
        counts: counts what is stated and is neither.
    """
    text = "" if value is None else str(value).strip().lower()
    if text in ("right", "wrong"):
        return text == "right"
    if text not in ("", "-", "-1", "none"):
        counts["unknown: judgement that is neither right nor wrong"] += 1
    return None
