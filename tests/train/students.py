"""Small random students of the architectures that labs train, for tests."""

from __future__ import annotations

import random
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from valley.data.render import Document

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "qwen2": {"model_type": "qwen2", "tie_word_embeddings": True},
    "qwen3": {"model_type": "qwen3", "tie_word_embeddings": False, "head_dim": 16},
    "llama": {"model_type": "llama", "tie_word_embeddings": False},
    "smollm2": {"model_type": "llama", "tie_word_embeddings": True, "num_attention_heads": 3},
}
VOCABULARY = 64


def student(name: str, attention: str = "sdpa") -> Any:
    """A student in float32 whose outputs depend much on what it sees."""
    torch.manual_seed(5)
    shape = {
        "vocab_size": VOCABULARY,
        "hidden_size": 48,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "max_position_embeddings": 256,
        "initializer_range": 0.3,
    }
    config = AutoConfig.for_model(**(shape | ARCHITECTURES[name]))
    return AutoModelForCausalLM.from_config(config, attn_implementation=attention).train()


def documents(lengths: list[int], seed: int = 0) -> list[Document]:
    """Random documents; the first two tokens of each are its prompt."""
    rng = random.Random(seed)
    return [Document([rng.randrange(VOCABULARY) for _ in range(n)], 2) for n in lengths]
