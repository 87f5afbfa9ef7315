from __future__ import annotations

import pytest

from valley.data.config import TinyConfig
from valley.data.render import instruction, prompt_tokens
from valley.data.sources.tiny import TinyWorld
from valley.errors import UserError
from valley.evaluate.generate import generate, sample_seed
from valley.evaluate.profiles import Profile
from valley.student import TinyStudent, load_model, load_tokenizer, prepare_student

PROBLEMS = TinyWorld(TinyConfig(evaluation_problems=12)).evaluation_problems()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A random student: its answers are nonsense of every length, which is what is wanted here."""
    folder = tmp_path_factory.mktemp("a student")
    student = TinyStudent(layers=1, hidden=32, intermediate=48, heads=2, seed=4)
    prepare_student(student, [instruction(p) for p in PROBLEMS], folder)
    return folder


def test_greedy_answers_are_those_of_one_problem_alone(model):
    import torch

    profile = Profile(max_tokens=9)
    samples = generate(model, PROBLEMS, profile, batch_size=5)
    assert [s.problem_id for s in samples] == [p.id for p in PROBLEMS]
    tokenizer, network = load_tokenizer(model), load_model(model, "fp32").eval()
    for problem, sample in zip(PROBLEMS, samples, strict=True):
        tokens = torch.tensor([prompt_tokens(tokenizer, instruction(problem))])
        assert sample.prompt_tokens == tokens.shape[1]
        answer = []
        while len(answer) < 9 and tokenizer.eos_token_id not in answer:
            following = network(tokens, use_cache=False).logits[0, -1].argmax()
            answer.append(int(following))
            tokens = torch.cat([tokens, following[None, None]], dim=1)
        assert sample.completion_tokens == len(answer)
        stopped = answer[-1] == tokenizer.eos_token_id
        assert sample.finish_reason == ("stop" if stopped else "length")
        assert sample.text == tokenizer.decode(answer, skip_special_tokens=True)


def test_a_sample_depends_on_its_seed_and_not_on_its_batch(model):
    profile = Profile(samples=3, temperature=0.8, top_p=0.95, max_tokens=8)
    whole = generate(model, PROBLEMS, profile, batch_size=36)
    assert [(s.problem_id, s.index) for s in whole] == [
        (p.id, k) for p in PROBLEMS for k in range(3)
    ]
    assert generate(model, PROBLEMS, profile, batch_size=4) == whole
    assert generate(model, PROBLEMS[7:9], profile, batch_size=36) == whole[21:27]
    assert len({s.text for s in whole[:3]}) > 1
    other = profile.model_copy(update={"sampling_seed": 1})
    assert [s.text for s in generate(model, PROBLEMS, other, batch_size=36)] != [
        s.text for s in whole
    ]


def test_sampling_draws_from_the_distribution(model):
    """The first token of 600 samples against the model's own probabilities."""
    import torch

    problem = PROBLEMS[0]
    profile = Profile(samples=600, temperature=1.0, max_tokens=1)
    samples = generate(model, [problem], profile, batch_size=600)
    tokenizer, network = load_tokenizer(model), load_model(model, "fp32").eval()
    tokens = torch.tensor([prompt_tokens(tokenizer, instruction(problem))])
    expected = network(tokens).logits[0, -1].softmax(-1)
    texts = [tokenizer.decode([i], skip_special_tokens=True) for i in range(len(expected))]
    for token in expected.topk(5).indices.tolist():
        p = sum(float(expected[i]) for i in range(len(texts)) if texts[i] == texts[token])
        seen = sum(s.text == texts[token] for s in samples) / 600
        assert abs(seen - p) < 4 * (p * (1 - p) / 600) ** 0.5 + 0.005


def test_a_prefill_is_part_of_the_answer_and_not_of_its_tokens(model):
    profile = Profile(max_tokens=4, prefill="x, add")
    samples = generate(model, PROBLEMS[:3], profile, batch_size=3)
    plain = generate(model, PROBLEMS[:3], Profile(max_tokens=4), batch_size=3)
    for sample, other in zip(samples, plain, strict=True):
        assert sample.text.startswith("x, add")
        assert sample.completion_tokens <= 4
        assert sample.prompt_tokens > other.prompt_tokens


def test_seeds_differ_by_problem_and_index():
    seeds = {sample_seed(s, p.id, k) for s in (0, 1) for p in PROBLEMS for k in range(4)}
    assert len(seeds) == 2 * 12 * 4 and all(0 <= seed < 2**63 for seed in seeds)


def test_nothing_to_answer_and_no_room_are_errors(model):
    with pytest.raises(UserError, match="the evaluation set is empty"):
        generate(model, [], Profile(), 4)
    import dataclasses

    long = dataclasses.replace(PROBLEMS[0], statement="add 3 " * 400)
    with pytest.raises(
        UserError, match=r"its prompt has \d+ tokens and the model's context is 512"
    ):
        generate(model, [long], Profile(), 4)
