"""A data card as Markdown, for a person to read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from valley.data.selection_config import CORRECTNESS_ARMS, DIFFICULTY_ARMS

PERCENTILES = (5, 25, 50, 75, 95, 99, 100)
MOST_ROWS = 15
"""Of a table of shares: Codeforces's ratings are hundreds of labels."""
SECTIONS = (
    *("source", "label", "difficulty", "correctness"),
    *("what says whether it is correct", "teacher"),
)
Card = dict[str, Any]


def markdown(card: Card, name: str, figure: bool) -> str:
    """The card for a person to read."""
    lengths = card["lengths"]
    removed = sum(card["removed"].values())
    by = [(name, card["by"][name]) for name in SECTIONS]
    parts = [
        f"# Data card: {name}",
        f"{card['traces']} traces, of which {removed} were removed and {card['usable']} can be drawn, "
        f"of {card['problems']} problems; the texts of {card['kept']} are kept.",
        *(_table(name, counts, card["usable"]) for name, counts in by if any(counts)),
        _strata(card["strata"]),
        _removals(card),
        _lengths(lengths),
    ]
    if figure:
        parts.append("![How long the traces are](card.png)")
    if card["read"]:
        parts.append(_table("read from the source", card["read"], None))
    if card["digests"]:
        lines = [f"- {what}: `{digest}`" for what, digest in card["digests"].items()]
        parts.append("\n".join(["## Digests", "", *lines]))
    return "\n\n".join(parts) + "\n"


def _table(by: str, counts: Mapping[str, int], whole: int | None) -> str:
    shares = ["", ""] if whole is None else [" share |", " ---: |"]
    lines = [f"## By {by}" if whole is not None else f"## {by[0].upper()}{by[1:]}", ""]
    lines += [f"| {by} | number |{shares[0]}", f"| --- | ---: |{shares[1]}"]
    rows = [(value or "none", count) for value, count in counts.items() if count]
    rows.sort(key=lambda row: (-row[1], row[0]))
    if whole is not None and len(rows) > MOST_ROWS:
        others = rows[MOST_ROWS - 1 :]
        rows[MOST_ROWS - 1 :] = [(f"{len(others)} others", sum(count for _, count in others))]
    for value, count in rows:
        share = "" if whole is None else f" {count / max(whole, 1):.1%} |"
        lines.append(f"| {value} | {count} |{share}")
    return "\n".join(lines)


def _strata(counts: Mapping[str, int]) -> str:
    verdicts = CORRECTNESS_ARMS
    lines = ["## Arms", "", f"| | {' | '.join(verdicts)} |", f"| --- |{' ---: |' * len(verdicts)}"]
    for level in DIFFICULTY_ARMS:
        numbers = " | ".join(str(counts[f"{level}/{verdict}"]) for verdict in verdicts)
        lines.append(f"| {level} | {numbers} |")
    return "\n".join(lines)


def _removals(card: Card) -> str:
    lines = ["## Removed", ""]
    if card["removed_problems"] is None and not card["removed"]:
        return "\n".join([*lines, "Nothing was looked for: `data.clean` is not set."])
    lines += [f"- {reason}: {count} traces" for reason, count in card["removed"].items()]
    found = card["removed_problems"] or {}
    lines += [f"- {what.replace('_', ' ')}: {count}" for what, count in found.items()]
    return "\n".join([*lines, "", "Each is listed in `removed.jsonl`."])


def _lengths(lengths: Mapping[str, Any]) -> str:
    if not lengths["traces"]:
        return "## Lengths\n\nNo traces."
    unit = lengths["unit"]
    named = ", ".join(f"{one} % {lengths['percentiles'][str(one)]}" for one in PERCENTILES)
    of = f"a sample of {lengths['traces']} of the kept" if "sample_of" in lengths else "all"
    lines = ["## Lengths", "", f"In {unit}, of {of} traces; percentiles: {named}."]
    if "too_long" in lengths:
        share = lengths["too_long"] / lengths["traces"]
        lines.append(
            f"Longer than {lengths['max_tokens']} tokens: {lengths['too_long']} ({share:.1%}). They are "
            "never cut, and each training counts them."
        )
    elif unit == "characters":
        lines.append("How many are longer than a student reads, only its tokenizer tells.")
    return "\n".join(lines)
