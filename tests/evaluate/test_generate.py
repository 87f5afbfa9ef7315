from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from wild_student import small_wild

from valley.data.chat import ChatConfig
from valley.data.config import TinyConfig
from valley.data.render import instruction
from valley.data.sources.tiny import TinyWorld
from valley.errors import UserError
from valley.evaluate import generate as generation
from valley.evaluate.generate import Setting
from valley.evaluate.profiles import Profile
from valley.evaluate.requests import sample_seed
from valley.evaluate.samples import count_samples
from valley.student import load_model, load_tokenizer


def generate(model, problems, profile, batch_size, precision, chat=None, **options):
    """The samples of a generation."""
    setting = Setting(profile, batch_size, precision, chat or ChatConfig(), **options)
    return generation.generate(model, problems, setting).samples


PROBLEMS = TinyWorld(TinyConfig(evaluation_problems=12)).evaluation_problems()


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return small_wild(PROBLEMS, tmp_path_factory.mktemp("a student"))


def prompt_tokens(tokenizer, problem):
    """A prompt's tokens, by transformers alone."""
    asked = [{"role": "user", "content": instruction(problem)}]
    return tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_dict=True)[
        "input_ids"
    ]


def test_greedy_answers_are_those_of_one_problem_alone(model):
    import torch

    profile = Profile(max_tokens=9)
    samples = generate(model, PROBLEMS, profile, 5, "fp32")
    assert [s.problem_id for s in samples] == [p.id for p in PROBLEMS]
    tokenizer, network = load_tokenizer(model), load_model(model, "fp32").eval()
    for problem, sample in zip(PROBLEMS, samples, strict=True):
        tokens = torch.tensor([prompt_tokens(tokenizer, problem)])
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
    whole = generate(model, PROBLEMS, profile, 36, "fp32")
    assert [(s.problem_id, s.index) for s in whole] == [
        (p.id, k) for p in PROBLEMS for k in range(3)
    ]
    assert generate(model, PROBLEMS, profile, 4, "fp32") == whole
    assert generate(model, PROBLEMS[7:9], profile, 36, "fp32") == whole[21:27]
    assert len({s.text for s in whole[:3]}) > 1
    other = profile.model_copy(update={"sampling_seed": 1})
    assert [s.text for s in generate(model, PROBLEMS, other, 36, "fp32")] != [s.text for s in whole]


def test_sampling_draws_from_the_distribution(model):
    """The first token of 600 samples against the model's own probabilities."""
    import torch

    problem = PROBLEMS[0]
    profile = Profile(samples=600, temperature=1.0, max_tokens=1)
    samples = generate(model, [problem], profile, 600, "fp32")
    tokenizer, network = load_tokenizer(model), load_model(model, "fp32").eval()
    tokens = torch.tensor([prompt_tokens(tokenizer, problem)])
    expected = network(tokens).logits[0, -1].softmax(-1).detach()
    texts = [tokenizer.decode([i], skip_special_tokens=True) for i in range(len(expected))]
    for token in expected.topk(5).indices.tolist():
        p = sum(float(expected[i]) for i in range(len(texts)) if texts[i] == texts[token])
        seen = sum(s.text == texts[token] for s in samples) / 600
        assert abs(seen - p) < 4 * (p * (1 - p) / 600) ** 0.5 + 0.005


def test_a_prefill_is_part_of_the_answer_and_not_of_its_tokens(model):
    profile = Profile(max_tokens=4, prefill="x, add")
    samples = generate(model, PROBLEMS[:3], profile, 3, "fp32")
    plain = generate(model, PROBLEMS[:3], Profile(max_tokens=4), 3, "fp32")
    for sample, other in zip(samples, plain, strict=True):
        assert sample.text.startswith("x, add")
        assert sample.completion_tokens <= 4
        assert sample.prompt_tokens > other.prompt_tokens


DRAWN = Profile(samples=4, temperature=1.0, max_tokens=9)


def with_settings(model, folder, **settings):
    """A copy of a checkpoint whose generation_config.json says more."""
    shutil.copytree(model, folder)
    path = folder / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
    return folder


@pytest.mark.parametrize("with_the_tokenizers", [True, False])
def test_an_answer_ends_with_the_checkpoints_tokens_and_the_tokenizers(
    model, spaced, with_the_tokenizers
):
    tokenizer = load_tokenizer(model)
    comma = tokenizer.convert_tokens_to_ids(",")  # the one token with this letter
    ends = [comma, tokenizer.eos_token_id] if with_the_tokenizers else comma
    copy = with_settings(model, spaced / "copy", eos_token_id=ends)
    plain = generate(model, PROBLEMS, DRAWN, 48, "fp32")
    assert {(s.finish_reason, "," in s.text) for s in plain} >= {("stop", False), ("length", True)}
    for sample, before in zip(generate(copy, PROBLEMS, DRAWN, 48, "fp32"), plain, strict=True):
        if "," in before.text:
            assert sample.text == before.text.partition(",")[0]
            assert sample.finish_reason == "stop"
            assert sample.completion_tokens <= before.completion_tokens
        else:
            assert sample == before


def test_a_checkpoint_without_an_end_token_is_a_mistake(model, spaced):
    copy = with_settings(model, spaced / "copy", eos_token_id=None)
    path = copy / "tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token": None}))
    with pytest.raises(UserError, match="names a token that ends an answer"):
        generate(copy, PROBLEMS, DRAWN, 48, "fp32")


def test_no_other_setting_of_the_checkpoint_is_used(model, spaced):
    comma = load_tokenizer(model).convert_tokens_to_ids(",")
    copy = with_settings(
        model,
        spaced / "copy",
        suppress_tokens=[comma],
        bad_words_ids=[[comma]],
        no_repeat_ngram_size=1,
        repetition_penalty=9.0,
        min_new_tokens=9,
        do_sample=True,
        temperature=9.0,
    )
    plain = generate(model, PROBLEMS, DRAWN, 48, "fp32")
    assert generate(copy, PROBLEMS, DRAWN, 48, "fp32") == plain


def test_the_precision_is_the_one_asked_for(model):
    """A thousand draws: rounding the logits to eight bits moves some of them, on any hardware."""
    profile = Profile(samples=12, temperature=1.0, max_tokens=8)
    exact, again, rounded = (
        [s.text for s in generate(model, PROBLEMS, profile, 144, precision)]
        for precision in ("fp32", "fp32", "bf16")
    )
    assert exact == again
    changed = sum(a != b for a, b in zip(exact, rounded, strict=True))
    assert 0 < changed < len(exact) / 2


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_is_made_after_an_interruption_says_so_where_it_might_differ(model, spaced, precision):
    """In bf16 sums may come out otherwise in another run, as they may with vLLM or on a GPU."""
    keep = spaced / "samples.jsonl"
    setting = Setting(Profile(max_tokens=4), 4, precision, ChatConfig())
    generation.generate(model, PROBLEMS, setting, keep=keep)
    lines = keep.read_text().splitlines(keepends=True)
    keep.write_text("".join(lines[: 1 + 4]))
    kept = {json.loads(line)["problem_id"] for line in lines[1:5]}
    made = generation.generate(model, PROBLEMS, setting, keep=keep)
    assert made.outcome["kept_samples"] == 4
    resumed = {sample.problem_id for sample in made.samples if sample.resumed}
    assert resumed == ({p.id for p in PROBLEMS} - kept if precision == "bf16" else set())


def test_seeds_differ_by_problem_and_index():
    seeds = {sample_seed(s, p.id, k) for s in (0, 1) for p in PROBLEMS for k in range(4)}
    assert len(seeds) == 2 * 12 * 4 and all(0 <= seed < 2**63 for seed in seeds)


def test_nothing_to_answer_is_an_error(model):
    with pytest.raises(UserError, match="the evaluation set is empty"):
        generate(model, [], Profile(), 4, "fp32")


def test_a_prompt_that_leaves_no_room_is_counted_and_not_asked(model, caplog):
    long = replace(PROBLEMS[0], statement="add 3 " * 400)
    plain = generate(model, PROBLEMS[1:5], Profile(max_tokens=5), 4, "fp32")
    samples = generate(model, [long, *PROBLEMS[1:5]], Profile(max_tokens=5), 4, "fp32")
    assert samples[1:] == plain
    assert (samples[0].text, samples[0].finish_reason) == ("", "length")
    counts = count_samples(samples)
    assert counts["prompts_too_long"] == 1 and counts["samples"] == 5
    assert "1 problems are not asked" in caplog.text and PROBLEMS[0].id in caplog.text
    with pytest.raises(UserError, match="no token was generated"):
        count_samples(generate(model, [long], Profile(), 4, "fp32"))


def test_positions_that_are_scaled_leave_room_for_longer_prompts(model, spaced):
    copy = spaced / "scaled"
    shutil.copytree(model, copy)
    path = copy / "config.json"
    config = json.loads(path.read_text())
    scaled = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}
    config["rope_parameters"] |= scaled
    path.write_text(json.dumps(config))
    long = replace(PROBLEMS[0], statement="add 3 " * 400)
    (sample,) = generate(copy, [long], Profile(max_tokens=3), 4, "fp32")
    assert sample.prompt_tokens > 512 and 1 <= sample.completion_tokens <= 3


def test_a_model_that_calls_its_context_otherwise_is_asked(model, spaced):
    """GPT-2's is `n_positions`."""
    from transformers import GPT2Config, GPT2LMHeadModel

    copy = spaced / "gpt2"
    shutil.copytree(model, copy, ignore=shutil.ignore_patterns("config.json"))
    tokenizer = load_tokenizer(model)
    size = {"n_positions": 64, "n_embd": 32, "n_layer": 1, "n_head": 2}
    config = GPT2Config(
        vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, bos_token_id=None, **size
    )
    GPT2LMHeadModel(config).save_pretrained(copy)
    long = replace(PROBLEMS[0], statement="add 3 " * 40)
    samples = generate(copy, [PROBLEMS[1], long], Profile(max_tokens=3), 4, "fp32")
    assert [s.completion_tokens > 0 for s in samples] == [True, False]


@pytest.mark.parametrize("package", ["transformers", "torch"])
def test_a_package_that_is_too_old_is_named_before_anything_is_loaded(spaced, monkeypatch, package):
    metadata = spaced / f"{package}-1.9.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.9.0\n")
    monkeypatch.syspath_prepend(str(spaced))
    with pytest.raises(UserError, match=f"{package} is 1.9.0 in .*resources.generate.python"):
        generate(spaced / "nowhere", PROBLEMS, Profile(), 4, "fp32")


def test_an_answers_limit_is_its_own_and_not_its_batchs(model):
    """Beside a prompt that almost fills the context, a short one may still be answered at length."""
    room = 512 - generate(model, PROBLEMS[:1], Profile(max_tokens=1), 1, "fp32")[0].prompt_tokens
    tokenizer = load_tokenizer(model)
    long = PROBLEMS[0]
    while len(prompt_tokens(tokenizer, long)) < 500:
        long = replace(long, statement=f"{long.statement} {PROBLEMS[0].statement}")
        if len(prompt_tokens(tokenizer, long)) >= 512:
            pytest.fail("the prompt grew past the context")
    profile = Profile(max_tokens=40)
    together = generate(model, [long, *PROBLEMS[1:4]], profile, 4, "fp32")
    assert together[1:] == generate(model, PROBLEMS[1:4], profile, 4, "fp32")
    assert together[0].completion_tokens <= 512 - together[0].prompt_tokens < 40 < room


def test_a_thought_that_the_template_opens_is_the_answers_beginning(model, spaced):
    shutil.copytree(model, spaced / "m")
    path = spaced / "m" / "chat_template.jinja"
    path.write_text(path.read_text().replace("<|assistant|>", "{{ '<|assistant|><think>\\n' }}"))
    profiles = {
        prefill: Profile(max_tokens=3, prefill=prefill) for prefill in ("", "x", "<think>\n")
    }
    (plain,), (direct,), (thought,) = (
        generate(spaced / "m", PROBLEMS[:1], profile, 1, "fp32") for profile in profiles.values()
    )
    assert plain.text.startswith("<think>\n") and plain == thought
    assert direct.text.startswith("<think>\n</think>\nx")


def test_the_chat_settings_reach_the_prompt(model):
    plain, told = (
        generate(
            model, PROBLEMS[:1], Profile(max_tokens=2), 1, "fp32", chat=ChatConfig(system=system)
        )
        for system in (None, "x, add")
    )
    assert told[0].prompt_tokens > plain[0].prompt_tokens
