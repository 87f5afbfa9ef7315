"""A student is asked whether its packed documents see each other; some architectures let them."""

from __future__ import annotations

import pytest
import torch
from students import ARCHITECTURES, student
from transformers import AutoConfig, AutoModelForCausalLM

from valley.errors import UserError
from valley.train.apart import check_apart
from valley.train.attention import NAMES, register
from valley.train.config import TrainConfig

SHAPE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "initializer_range": 0.3,  # as if it had been trained: what it sees matters
}
LEAKING = {
    # A convolution, a state and biases by distance: each carries something over a border.
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 1},
    "falcon": {"alibi": True, "new_decoder_architecture": False},
}


class Engine(torch.nn.Module):
    """What is asked of an engine, around a model."""

    device = "cpu"

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, **inputs):
        return self.module(**inputs)


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
    register()


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("attention", ["eager", "sdpa", "documents"])
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_what_keeps_documents_apart_is_let_pass(name, attention, precision):
    model = student(name, NAMES.get(attention, attention)).to(precision)
    random_state = torch.get_rng_state()
    check_apart(Engine(model), TrainConfig(attention=attention))
    assert model.training
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize("name", LEAKING)
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_what_does_not_is_refused(name, precision):
    torch.manual_seed(5)
    config = AutoConfig.for_model(name, **(SHAPE | LEAKING[name]))
    model = AutoModelForCausalLM.from_config(config).to(precision)
    with pytest.raises(
        UserError, match=rf"see each other in this student \({name}\).*layout: padded"
    ):
        check_apart(Engine(model), TrainConfig(layout="packed", attention="sdpa"))
