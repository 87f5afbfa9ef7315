"""The program in an answer: one rule for text with a thought, without one, and cut off."""

from __future__ import annotations

from dataclasses import dataclass

THINK_OPEN = "<think>"
THINK_CLOSE = "</think>"
PYTHON_NAMES = ("", "python", "python3", "py", "py3")
"""What may stand after an opening fence; a block in another language is no program."""


@dataclass(frozen=True)
class Extraction:
    """The program of one answer, None where there is none, and whether it thought."""

    code: str | None
    think_opened: bool
    think_closed: bool


@dataclass(frozen=True)
class _Block:
    language: str
    code: str
    closed: bool


def extract(text: str, finish_reason: str = "stop") -> Extraction:
    """Find the program in an answer (with its prefill, without its prompt).

    - A thought that is opened and never closed holds no program, whatever is fenced inside it.
    - A closed thought: the last fenced block after the last `</think>`.
    - No thought: the last fenced block of the whole text, so that a student that was never taught
      to think is graded too.
    - A fence still open at the end of the text: where the answer ended by itself (`stop`), the
      block reaches to the end, since only the closing fence was forgotten. Where the answer was cut
      (`length`), there is no program: the block is a part, and an earlier block is a draft of it.

    Blocks that are blank, or fenced as another language than Python, are passed over. A fence of
    an indented list item takes its indentation off the program.

    >>> extract("<think>hm</think>So:\\n```python\\nprint(1)\\n```").code
    'print(1)\\n'
    """
    opened, closed = THINK_OPEN in text, THINK_CLOSE in text
    if opened and not closed:
        return Extraction(None, opened, closed)
    blocks = _fenced_blocks(text.rsplit(THINK_CLOSE, 1)[-1])
    if blocks and not blocks[-1].closed and finish_reason != "stop":
        return Extraction(None, opened, closed)
    programs = [b.code for b in blocks if b.language in PYTHON_NAMES and b.code.strip()]
    return Extraction(programs[-1] if programs else None, opened, closed)


def _fenced_blocks(text: str) -> list[_Block]:
    """All blocks between lines of three backticks; a fence that names a language always opens."""
    blocks: list[_Block] = []
    language: str | None = None
    lines: list[str] = []
    indent = 0
    for line in text.split("\n"):
        stripped = line.strip()
        info = stripped[3:].strip() if stripped.startswith("```") else None
        if info is not None and "`" in info:  # code in running text, such as ```x = 1```
            info = None
        if info is None:
            if language is not None:
                lines.append(line[indent:] if not line[:indent].strip() else line)
        elif language is not None and not info:
            blocks.append(_Block(language, "".join(f"{x}\n" for x in lines), closed=True))
            language = None
        else:
            # Inside a block this is a second opening: the first was never closed, and is dropped.
            language, lines = (info.split()[0].lower() if info else ""), []
            indent = len(line) - len(line.lstrip())
    if language is not None and any(line.strip() for line in lines):
        blocks.append(_Block(language, "\n".join(lines), closed=False))
    return blocks
