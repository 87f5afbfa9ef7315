"""The likelihood of held-out traces, held against a computation with torch alone."""

from __future__ import annotations

import pytest
from wild_student import small_wild

from valley.data.chat import ChatConfig
from valley.data.config import TinyConfig
from valley.data.held_out import HeldOutTrace
from valley.data.render import instruction
from valley.data.sources.tiny import TinyWorld
from valley.errors import UserError
from valley.evaluate.backends import transformers as backend
from valley.evaluate.generate import Setting, generate
from valley.evaluate.likelihood import HeldOut
from valley.evaluate.profiles import Profile
from valley.records import digest
from valley.student import load_model, load_tokenizer

PROBLEMS = TinyWorld(TinyConfig(evaluation_problems=12)).evaluation_problems()
SETTING = Setting(Profile(max_tokens=2, prefill="x, add"), 8, "fp32", ChatConfig())
# Answers in words that the student knows.
TRACES = [
    HeldOutTrace(f"t{i}", instruction(p), instruction(PROBLEMS[i - 1]) * (i + 1))
    for i, p in enumerate(PROBLEMS[:5])
]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_wild(PROBLEMS, tmp_path_factory.mktemp("a student"))


def scored(model, traces, **options):
    held_out = HeldOut(traces, ChatConfig())
    return generate(model, PROBLEMS[:2], SETTING, held_out=held_out, **options)


def by_torch_alone(model, trace):
    """The sum over the response's tokens, and their number."""
    import torch

    tokenizer, network = load_tokenizer(model), load_model(model, "fp32").eval()
    asked = [{"role": "user", "content": trace.prompt}]
    prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True)[
        "input_ids"
    ]
    learnt = [*tokenizer.encode(trace.response, add_special_tokens=False), tokenizer.eos_token_id]
    with torch.no_grad():
        said = network(torch.tensor([[*prompt, *learnt]])).logits[0].log_softmax(-1)
    places = zip(range(len(prompt), len(prompt) + len(learnt)), learnt, strict=True)
    return -sum(float(said[place - 1, token]) for place, token in places), len(learnt)


@pytest.mark.parametrize("chunk", [512, 7])
def test_a_traces_likelihood_is_that_of_its_response(model, chunk, monkeypatch):
    monkeypatch.setattr(backend, "CHUNK_TOKENS", chunk)
    found = scored(model, TRACES).outcome["held_out"]
    expected = [by_torch_alone(model, trace) for trace in TRACES]
    assert found["tokens"] == [tokens for _, tokens in expected]
    assert found["nll"] == pytest.approx([nll for nll, _ in expected], rel=1e-5)
    assert found["traces"] == digest([trace.id for trace in TRACES])
    assert len(set(found["nll"])) == len(TRACES)


def test_samples_are_those_of_a_generation_without(model):
    assert scored(model, TRACES).samples == generate(model, PROBLEMS[:2], SETTING).samples


def test_a_trace_longer_than_the_context_is_left_out_by_name_of_its_place(model):
    long = HeldOutTrace("long", TRACES[0].prompt, TRACES[0].response * 60)
    found = scored(model, [TRACES[1], long, TRACES[2]]).outcome["held_out"]
    plain = scored(model, TRACES).outcome["held_out"]
    assert found["nll"] == [plain["nll"][1], None, plain["nll"][2]]
    assert found["tokens"] == [plain["tokens"][1], None, plain["tokens"][2]]
    with pytest.raises(UserError, match=r"all 1 held-out traces are longer than .* 512 tokens"):
        scored(model, [long])
