from __future__ import annotations

import itertools
import math

import pytest
import torch

from valley.data.pack import batches
from valley.data.render import Document
from valley.student import load_model, load_tokenizer
from valley.train.config import TrainConfig
from valley.train.deepspeed_keys import deepspeed_config
from valley.train.head import summed_loss
from valley.train.rows import padded_rows, rows_of
from valley.train.schedule import learning_rate_at

STEPS = 20
RECIPE = {"batch_size": 8, "learning_rate": 2e-3, "precision": "fp32", "gradient_clip": None}


def config(stage: int, micro_batch_size: int) -> dict:
    return {**RECIPE, "zero_stage": stage, "micro_batch_size": micro_batch_size}


def series(lines, key):
    return torch.tensor([line[key] for line in lines], dtype=torch.float64)


@pytest.fixture(scope="module")
def alone(start, documents):
    """The same training written plainly: one rank, one batch, no engine."""
    torch.set_num_threads(1)
    torch.manual_seed(3)
    model = load_model(start, "fp32").train()
    recipe = TrainConfig.model_validate(config(0, 8))
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    docs = [Document(tokens, prompt) for tokens, prompt in documents]
    losses, norms, mean_of_means = [], [], []
    stream = batches(docs, steps=STEPS, batch_size=8, micro_batch_size=8, seed=3)
    for step, batch in enumerate(stream):
        documents_here = batch.micro_batches[0]
        each = torch.stack([summed_loss(model, rows_of([d], packed=False)) for d in documents_here])
        loss = each.sum() / batch.response_tokens
        counts = torch.tensor([d.response_tokens for d in documents_here])
        halves = [slice(0, 8, 2), slice(1, 8, 2)]
        mean_of_means.append(
            sum(float(each[h].detach().sum() / counts[h].sum()) for h in halves) / 2
        )
        optimizer.zero_grad()
        loss.backward()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate_at(step, STEPS, recipe)
        norms.append(float(torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])))
        optimizer.step()
        losses.append(float(loss.detach()))
    return {"loss": losses, "gradient_norm": norms, "mean_of_means": mean_of_means}


@pytest.mark.parametrize(("world_size", "micros"), [(1, [8]), (2, [2, 1])])
def test_loss_and_gradient_are_those_of_the_plain_loop(run_ranks, alone, world_size, micros):
    """1x1, 2x2 and 2x4 ranks x accumulation, ZeRO 0 to 3: equal to 1e-5 over 20 steps."""
    configs = {f"{micro} zero{n}": config(n, micro) for micro in micros for n in range(4)}
    _, logs = run_ranks(configs, world_size, steps=STEPS)
    for lines in logs.values():
        assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
        for key in ("loss", "gradient_norm"):
            expected = torch.tensor(alone[key], dtype=torch.float64)
            torch.testing.assert_close(series(lines, key), expected, rtol=1e-5, atol=0)


def test_in_bf16_each_stage_learns_as_float32_does(run_ranks):
    """A step too many or too few before the first, or one that decays weights, is ten times as far off."""
    decay = {**config(0, 8), "weight_decay": 0.1}
    half = {f"zero{n}": {**decay, "zero_stage": n, "precision": "bf16"} for n in range(4)}
    _, logs = run_ranks({"fp32": decay, **half}, 1, steps=10)
    expected = series(logs["fp32"], "loss")
    for name in half:
        torch.testing.assert_close(series(logs[name], "loss"), expected, rtol=5e-4, atol=0)


def test_a_mean_of_means_would_be_seen(alone):
    """The tolerance of the test above is far below what averaging per rank would change."""
    pairs = zip(alone["loss"], alone["mean_of_means"], strict=True)
    assert max(abs(a - b) / a for a, b in pairs) > 1e-3


def test_nothing_is_compiled_and_the_result_loads(run_ranks, tmp_path, start):
    """No compiler, no ninja, no cache of compiled operators: two ranks, as on a bare machine."""
    bare = {
        "PATH": str(tmp_path),
        "TORCH_EXTENSIONS_DIR": str(tmp_path / "extensions"),
        "CC": "",
        "CXX": "",
    }
    configs = {"zero0": config(0, 4), "zero2": config(2, 4)}
    folder, logs = run_ranks(configs, 2, steps=2, environment=bare)
    assert not list((tmp_path / "extensions").rglob("*.so"))
    assert all(len(lines) == 2 for lines in logs.values())
    trained = folder / "model zero2"
    assert (trained / "model.safetensors").is_file()
    before, after = load_model(start, "fp32"), load_model(trained, "fp32")
    assert load_tokenizer(trained).chat_template == load_tokenizer(start).chat_template
    moved = [
        not torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True)
    ]
    assert any(moved)


def test_padding_and_batching_change_no_loss(start, documents):
    torch.set_num_threads(1)
    model = load_model(start, "fp32").eval()
    docs = [Document(tokens, prompt) for tokens, prompt in documents[:8]]
    together = summed_loss(model, rows_of(docs, packed=False))
    apart = sum(summed_loss(model, rows_of([d], packed=False, pad_token=5)) for d in docs)
    torch.testing.assert_close(together, apart, rtol=1e-6, atol=0)


def test_labels_cover_exactly_the_response():
    tokens, labels = padded_rows([Document([7, 8, 9, 10], 2), Document([5, 6], 1)], pad_token=0)
    assert tokens.tolist() == [[7, 8, 9, 10], [5, 6, 0, 0]]
    assert labels.tolist() == [[-100, 9, 10, -100], [6, -100, -100, -100]]


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_schedule_rises_then_falls(schedule):
    recipe = TrainConfig(schedule=schedule, learning_rate=1e-3, warmup_ratio=0.1)
    rates = [learning_rate_at(step, 100, recipe) for step in range(100)]
    assert rates[:10] == pytest.approx([1e-4 * (i + 1) for i in range(10)])
    assert max(rates) == pytest.approx(1e-3)
    assert all(a >= b for a, b in itertools.pairwise(rates[10:]))
    assert 0 <= rates[-1] < 2e-5
    middle = learning_rate_at(55, 100, recipe)
    assert middle == pytest.approx(5e-4, rel=1e-6)


def test_no_warmup_starts_at_the_full_rate():
    recipe = TrainConfig(warmup_ratio=0.0, learning_rate=1e-3)
    assert math.isclose(learning_rate_at(0, 10, recipe), 1e-3)


def test_deepspeed_is_told_what_the_recipe_says():
    values = deepspeed_config(TrainConfig(zero_stage=3, precision="bf16", gradient_clip=0.5), 4, 2)
    assert values["zero_optimization"]["stage"] == 3
    assert values["gradient_clipping"] == 0.5
    assert values["bf16"] == {"enabled": True}
    assert values["train_batch_size"] == 8
    # Left out, it would be 1.0.
    assert deepspeed_config(TrainConfig(gradient_clip=None), 1, 1)["gradient_clipping"] == 0.0
