"""The tiny student: a Llama made from a seed, with a word-level tokenizer."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from valley.student_config import TinyStudent

# What a word-level token is: a tag, a fence, a word or a digit with the space before it, or a mark.
WORD_PATTERN = r"<[a-z_|/]+>|```python|```| ?[A-Za-z]+| ?\d|\n| ?[^\sA-Za-z0-9]"
END_OF_TURN = "<|end|>"
TINY_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}"
    + END_OF_TURN
    + "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def word_tokenizer(texts: list[str]) -> Tokenizer:
    """A lossless word-level tokenizer that knows every word of `texts`."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    words = sorted({word for text in texts for word in re.findall(WORD_PATTERN, text)})
    special = ["<|pad|>", "<|unknown|>", END_OF_TURN, "<|system|>", "<|user|>", "<|assistant|>"]
    vocabulary = {
        word: i for i, word in enumerate([*special, *(w for w in words if w not in special)])
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<|unknown|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD_PATTERN), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def make_tiny(config: TinyStudent, texts: list[str], folder: Path) -> None:
    """Write the untrained student and its tokenizer, which knows every word of `texts`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=word_tokenizer(texts),
        eos_token=END_OF_TURN,
        pad_token="<|pad|>",
        unk_token="<|unknown|>",
        extra_special_tokens=["<|system|>", "<|user|>", "<|assistant|>"],
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )
    tokenizer.chat_template = TINY_TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(config.seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=-(-len(tokenizer) // 8) * 8,
            hidden_size=config.hidden,
            intermediate_size=config.intermediate,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.save_pretrained(folder)
