"""A tokenizer of our own for tests: bytes, and the special tokens of the families' templates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEMPLATES = Path(__file__).parent / "templates"
FAMILIES = ("qwen2.5", "llama-3.1", "smollm2", "qwen3", "qwen3-thinking")


def template(name: str) -> str:
    """A template's text; the public ones end without a line break."""
    return (TEMPLATES / f"{name}.jinja").read_text().removesuffix("\n")


def byte_tokenizer(name: str) -> Any:
    """A tokenizer with a family's template and special tokens, whose every other token is a byte."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    llama = name.startswith("llama")
    control = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
    if llama:
        control = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(control)
    if name.startswith("qwen3"):
        tokenizer.add_tokens([AddedToken(tag, special=False) for tag in ("<think>", "</think>")])
    if llama:
        # Llama's puts its first token before any text, the template's own beside it.
        first = (control[0], tokenizer.token_to_id(control[0]))
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{control[0]} $A", special_tokens=[first]
        )
    made = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=control[0],
        eos_token="<|eot_id|>" if llama else "<|im_end|>",
        pad_token=control[-1],
    )
    made.chat_template = template(name)
    return made
