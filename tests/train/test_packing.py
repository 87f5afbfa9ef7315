"""The loss is the same for any layout, packing, number of ranks and accumulation."""

from __future__ import annotations

import pytest
import torch

from valley.data.bins import pack
from valley.data.pack import batches, row_count
from valley.data.render import Document
from valley.student import load_model
from valley.train.head import summed_loss
from valley.train.rows import rows_of

RECIPE = {"batch_size": 8, "learning_rate": 2e-3, "precision": "fp32", "warmup_ratio": 0.0}
ROWS = {"packing": "epoch", "row_tokens": 64, "batch_size": 4}
STEPS = 6
KINDS = {
    "padded": {},
    "packed": {"layout": "packed"},
    "packed, eager": {"layout": "packed", "attention": "eager", "zero_stage": 1},
    "packed, ZeRO-3": {"layout": "packed", "zero_stage": 3, "activation_checkpointing": True},
    # As many as three passes in one step, and one in another.
    "by tokens": {"micro_batch_tokens": 64},
    "by tokens, ZeRO-1": {"micro_batch_tokens": 64, "zero_stage": 1},
    "by tokens, ZeRO-2": {"micro_batch_tokens": 64, "zero_stage": 2},
    "by tokens, ZeRO-3": {"micro_batch_tokens": 64, "zero_stage": 3},
    "sequences": {"loss": "sequences", "zero_stage": 2},
    "sequences, packed": {"loss": "sequences", "layout": "packed"},
    "sequences, by tokens": {"loss": "sequences", "micro_batch_tokens": 64},
    "rows": ROWS,
    "rows of sequences": {**ROWS, "loss": "sequences", "schedule": "constant"},
}
SAME = {
    name: "sequences" if name.startswith("sequences, ") else "padded"
    for name in KINDS
    if name.startswith(("packed", "by tokens", "sequences, "))
}


@pytest.fixture(scope="module")
def logs(run_ranks):
    """By number of ranks and micro-batch: the lines of each kind."""
    found = {}
    for world_size, micro in ((1, 8), (2, 1)):
        configs = {
            name: {**RECIPE, "micro_batch_size": micro, **kind} for name, kind in KINDS.items()
        }
        found[world_size] = run_ranks(configs, world_size, steps=STEPS)[1]
    return found


def series(lines, key="loss"):
    return torch.tensor([line[key] for line in lines], dtype=torch.float64)


@pytest.mark.parametrize("name", KINDS)
def test_ranks_and_accumulation_change_nothing(logs, name):
    for key in ("loss", "gradient_norm", "tokens", "documents"):
        torch.testing.assert_close(
            series(logs[1][name], key), series(logs[2][name], key), rtol=1e-5, atol=0
        )


@pytest.mark.parametrize("name", SAME)
def test_the_layout_changes_nothing(logs, name):
    for key in ("loss", "gradient_norm"):
        expected = series(logs[1][SAME[name]], key)
        torch.testing.assert_close(series(logs[1][name], key), expected, rtol=1e-5, atol=0)


def test_the_first_steps_loss_is_what_its_name_says(logs, start, documents):
    torch.set_num_threads(1)
    model = load_model(start, "fp32").eval()
    docs = [Document(tokens, prompt) for tokens, prompt in documents]
    for name, rows in (("padded", None), ("rows", 64)):
        batch = next(
            batches(
                docs,
                steps=1,
                batch_size=4 if rows else 8,
                micro_batch_size=99,
                seed=3,
                row_tokens=rows,
            )
        )
        here = batch.micro_batches[0]
        with torch.no_grad():
            sums = torch.stack([summed_loss(model, rows_of([d], packed=False)) for d in here])
        counts = torch.tensor([d.response_tokens for d in here])
        sequences = {"padded": "sequences", "rows": "rows of sequences"}[name]
        by_token, by_sequence = float(sums.sum() / counts.sum()), float((sums / counts).mean())
        assert abs(by_token - by_sequence) > 1e-4 * by_token
        assert logs[2][name][0]["loss"] == pytest.approx(by_token, rel=1e-5)
        assert logs[2][sequences][0]["loss"] == pytest.approx(by_sequence, rel=1e-5)


def test_rows_leave_no_document_out_and_are_the_same_for_any_ranks(documents):
    docs = [Document([n, *tokens], prompt + 1) for n, (tokens, prompt) in enumerate(documents)]
    lengths = [len(d.tokens) for d in docs]
    count = row_count(docs, 64)
    assert count == len(pack(lengths, 64, seed=9, epoch=4))
    options = {
        "steps": 2 * count,
        "batch_size": 2,
        "micro_batch_size": 1,
        "seed": 1,
        "row_tokens": 64,
    }
    whole = list(batches(docs, **options))
    shares = [list(batches(docs, **options, rank=rank, world_size=2)) for rank in range(2)]
    seen = []
    for batch, *parts in zip(whole, *shares, strict=True):
        ids = sorted(d.tokens[0] for rows in batch.micro_batches for d in rows)
        assert ids == sorted(d.tokens[0] for p in parts for rows in p.micro_batches for d in rows)
        assert all(p.response_tokens == batch.response_tokens for p in parts)
        assert batch.tokens == sum(len(docs[i].tokens) for i in ids)
        assert batch.documents == len(ids)
        seen += ids
    assert sorted(seen) == sorted(list(range(len(docs))) * 4)
    for begin in (1, count // 2, count):
        assert list(batches(docs, **options, begin=begin)) == whole[begin:]


def test_the_log_tells_what_a_step_held_and_computed(logs):
    for lines in (logs[1]["packed"], logs[2]["rows"]):
        assert all(line["positions"] == line["tokens"] for line in lines)
    padded = logs[1]["padded"]
    assert any(line["positions"] > line["tokens"] for line in padded)
    assert all(line["documents"] == 8 for line in padded)
    assert len({line["documents"] for line in logs[1]["rows"]}) > 1
