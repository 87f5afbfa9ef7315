"""Text to tokens: one rendering of problems and answers, for training and evaluation alike.

The prompt comes from the model's own chat template. The response is appended as plain text and never
passed through the template, since several templates delete or rewrite `<think>` in past turns. Where a
template itself opens a thought at the prompt's end, the response goes on in it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from valley.data.chat import ChatConfig, PromptName
from valley.data.problems import Problem
from valley.errors import UserError
from valley.records import refuse_half_characters

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

THINK_OPEN, THINK_CLOSE = "<think>", "</think>"
# As the models' card gives it, with the question after it.
OPENCODEREASONING2 = (
    "You are a helpful and harmless assistant. You should think step-by-step before responding to the "
    "instruction below.\n\nPlease use python programming language only.\n\nYou must use ```python for "
    "just the final solution code block with the following format:\n```python\n# Your code here\n```"
)
# LiveCodeBench's generic template (lcb_runner/prompts/code_generation.py at 28fef95), word by word.
LIVECODEBENCH_STDIN = (
    "Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test "
    "on the sample inputs). Enclose your code within delimiters as follows. Ensure that when the python "
    "program runs, it reads the inputs, runs the algorithm and writes output to STDOUT."
)
LIVECODEBENCH_STARTER = (
    "You will use the following starter code to write the solution to the problem and enclose your code "
    "within delimiters."
)
TODAY = date(2024, 7, 26)
"""What a template that writes today's date is told: the day that Llama 3.1's own template names. The
clock's would make another prompt tomorrow, when the student is evaluated."""
PROBE = f"{THINK_OPEN}\n\n  Só x1 =\t2…\n{THINK_CLOSE}```python\nA = 'b'\n``` "
"""A text with what tokenizers treat in different ways."""
CLOCK = re.compile(r"strftime_now\(\s*(['\"])([^'\"]*)\1\s*\)")


@dataclass(frozen=True)
class Document:
    """One training example: `tokens`, of which those from `prompt_tokens` on are learnt."""

    tokens: Sequence[int] | npt.NDArray[np.int32]
    prompt_tokens: int

    @property
    def response_tokens(self) -> int:
        """How many tokens the loss is taken of."""
        return len(self.tokens) - self.prompt_tokens


def instruction(problem: Problem, prompt: PromptName = "plain") -> str:
    """What the student is told of a problem."""
    if prompt == "opencodereasoning2":
        asked = f"{OPENCODEREASONING2}\n\n{problem.statement}"
        if problem.kind == "stdin":
            return asked
        return f"{asked}\n\nComplete this function:\n```python\n{problem.starter_code}\n```"
    if prompt == "livecodebench":
        how = LIVECODEBENCH_STARTER if problem.starter_code else LIVECODEBENCH_STDIN
        code = problem.starter_code or "# YOUR CODE HERE"
        return (
            f"### Question:\n{problem.statement}\n\n### Format: {how}\n```python\n{code}\n```\n\n"
            "### Answer: (use the provided format with backticks)\n\n"
        )
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


@dataclass(frozen=True)
class Prompt:
    """What a model reads before it answers, from its template."""

    text: str

    @property
    def opened(self) -> str:
        """The end of `text` in which the template has opened a thought, else "". It is the model's."""
        if not self.text.rstrip().endswith(THINK_OPEN):
            return ""
        return self.text[self.text.rindex(THINK_OPEN) :]

    def followed_by(self, answer: str) -> str:
        """An answer, or the beginning of one, as it goes on from here.

        In a thought that is open already none is opened again, and an answer without one closes it.
        """
        opened = self.opened
        if not opened or not answer:
            return answer
        if not answer.startswith(THINK_OPEN):
            return f"{THINK_CLOSE}\n{answer}"
        rest = answer.removeprefix(THINK_OPEN)
        return rest.removeprefix("\n") if opened.endswith("\n") else rest


class Chat:
    """A student's tokenizer and template under the settings of `chat`."""

    def __init__(self, tokenizer: Any, config: ChatConfig | None = None) -> None:
        """Take a tokenizer that has a chat template.

        Raises:
            UserError: the template's date cannot be fixed, or decoding would lose the tags of thoughts.
        """
        self.tokenizer = tokenizer
        self.config = config or ChatConfig()
        try:
            given = tokenizer.get_chat_template()
        except ValueError as error:
            raise UserError(
                "the tokenizer has no chat template; put a chat_template.jinja into the checkpoint's folder"
            ) from error
        self.template = CLOCK.sub(lambda call: repr(TODAY.strftime(call[2])), given)
        """The template as it is used, with a fixed date."""
        if "strftime_now(" in self.template:
            raise UserError(
                "the tokenizer's chat template computes its own format of today's date, which would "
                "make another prompt tomorrow; write a date into its chat_template.jinja"
            )
        if lost := {THINK_OPEN, THINK_CLOSE} & set(tokenizer.all_special_tokens):
            raise UserError(
                f"the tokenizer calls {min(lost)} special, so that decoded answers would lose it; "
                'set `"special": false` for it in tokenizer.json'
            )
        self._is_plain = tokenizer.is_fast and self._encodes_as_its_backend()

    def prompt(self, text: str) -> Prompt:
        """What the model reads when it is asked `text`.

        Raises:
            UserError: the template refuses the system message, or leaves it or the question out.
        """
        import jinja2

        system = self.config.system_message
        messages = [] if system is None else [{"role": "system", "content": system}]
        try:
            rendered = self.tokenizer.apply_chat_template(
                [*messages, {"role": "user", "content": text}],
                chat_template=self.template,
                add_generation_prompt=True,
                tokenize=False,
            )
        # Jinja's own errors, and what a template's Python may raise: it divides by zero, adds text to a number.
        except (jinja2.TemplateError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise UserError(
                f"the tokenizer's chat template fails: {error}"
                + ("" if system is None else "; it may have no system message: see chat.system")
            ) from error
        # Templates trim what they are given.
        for what, wanted in (("the question", text), ("chat.system", system or "")):
            if wanted.strip() not in rendered:
                raise UserError(
                    f"the tokenizer's chat template leaves {what} out: {wanted.strip()[:80]!r} is not in "
                    f"what it makes, {rendered[:200]!r}"
                )
        return Prompt(rendered)

    def tokens(self, texts: list[str], *, literally: bool = False) -> list[list[int]]:
        """The tokens of texts; many at once are spread over all cores.

        Args:
            literally: control tokens that a text spells are letters of it. Of prompts, which the template
                has put them into, they are control tokens.

        Raises:
            UserError: a text has half a character (a lone surrogate), which no tokenizer reads.
        """
        if not texts:
            return []
        try:
            return self._tokens(texts, literally)
        except TypeError:
            for text in texts:
                refuse_half_characters("a text to be tokenised", text)
            raise

    def _tokens(self, texts: list[str], literally: bool) -> list[list[int]]:
        if not self._is_plain:
            return self.tokenizer(texts, add_special_tokens=False, split_special_tokens=literally)[
                "input_ids"
            ]
        # A third of the time: transformers also makes masks and, for each token, its place in the text.
        backend = self.tokenizer.backend_tokenizer
        backend.encode_special_tokens = literally
        try:
            found = backend.encode_batch_fast(texts, add_special_tokens=False)
        finally:
            backend.encode_special_tokens = False
        return [encoding.ids for encoding in found]

    def _encodes_as_its_backend(self) -> bool:
        """Whether transformers adds nothing of its own. The call also turns truncation off, if it is on."""
        text = f" {PROBE}{''.join(self.tokenizer.all_special_tokens)}{PROBE}"
        wanted = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        encoded = self.tokenizer.backend_tokenizer.encode_batch_fast(
            [text], add_special_tokens=False
        )
        return bool(encoded[0].ids == wanted)

    def documents(self, pairs: Sequence[tuple[str, str]]) -> list[Document]:
        """Training examples of (prompt, response), each closed by the end-of-turn token.

        Raises:
            UserError: the tokenizer names no such token, or see `prompt`.
        """
        end = self.tokenizer.eos_token_id
        if end is None:
            raise UserError(
                "the tokenizer names no token that ends an answer; add `eos_token` to the "
                "checkpoint's tokenizer_config.json"
            )
        prompts = [self.prompt(text) for text, _ in pairs]
        before = self.tokens([prompt.text for prompt in prompts])
        after = self.tokens(
            [
                prompt.followed_by(answer)
                for prompt, (_, answer) in zip(prompts, pairs, strict=True)
            ],
            literally=True,
        )
        return [Document([*b, *a, end], len(b)) for b, a in zip(before, after, strict=True)]
