"""Text to tokens: one rendering of problems and answers, for training and evaluation alike.

The prompt comes from the model's own chat template. The response is appended as plain text and never
passed through the template, since several templates delete or rewrite `<think>` in past turns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from valley.data.problems import Problem

THINK_OPEN, THINK_CLOSE = "<think>", "</think>"
LAST_TOKENS = 16
"""Of a prompt: more than an opened thought and its line end are in any tokenizer."""


@dataclass(frozen=True)
class Document:
    """One training example: `tokens`, of which those from `prompt_tokens` on are learnt."""

    tokens: list[int]
    prompt_tokens: int

    @property
    def response_tokens(self) -> int:
        """How many tokens the loss is taken of."""
        return len(self.tokens) - self.prompt_tokens


def instruction(problem: Problem) -> str:
    """What the student is told of a problem."""
    if problem.source == "tiny":
        return problem.statement
    if problem.kind == "stdin":
        return (
            f"{problem.statement}\n\nRead from standard input and write to standard output. "
            "Answer with one Python program in a ```python block."
        )
    return (
        f"{problem.statement}\n\nComplete this Python function and answer with all of it in one "
        f"```python block.\n\n```python\n{problem.starter_code}\n```"
    )


def response(thinking: str, answer: str) -> str:
    """A teacher's answer as the student is to write it; without a thought where there is none."""
    return f"{THINK_OPEN}\n{thinking}\n{THINK_CLOSE}\n{answer}" if thinking else answer


def prompt_tokens(tokenizer: Any, text: str) -> list[int]:
    """The tokens that the model reads before it answers."""
    return list(
        tokenizer.apply_chat_template(
            [{"role": "user", "content": text}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
        )["input_ids"]
    )


def opened_thought(tokenizer: Any, prompt: list[int]) -> str:
    """What of an answer stands in its prompt already: a thought that the chat template opens."""
    opens = str(tokenizer.decode(prompt[-LAST_TOKENS:])).rstrip().endswith(THINK_OPEN)
    return f"{THINK_OPEN}\n" if opens else ""


def document(tokenizer: Any, prompt: str, answer: str) -> Document:
    """Render one training example, closed by the end-of-turn token."""
    before = prompt_tokens(tokenizer, prompt)
    after = tokenizer(answer, add_special_tokens=False)["input_ids"]
    return Document([*before, *after, tokenizer.eos_token_id], len(before))
