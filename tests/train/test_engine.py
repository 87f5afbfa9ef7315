"""What DeepSpeed is told: ours, with raw keys that never contradict it."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from valley.errors import UserError
from valley.train.config import TrainConfig
from valley.train.deepspeed_keys import deepspeed_config
from valley.train.engine import load_student, make_engine

FAILS = """
import json, sys
import torch
from valley.cluster.rendezvous import join_process_group, place
from valley.errors import UserError
from valley.train.config import TrainConfig
from valley.train.deepspeed_keys import deepspeed_config
from valley.train.engine import make_engine
join_process_group(place())
for raw in json.loads(sys.argv[1]):
    config = TrainConfig(precision="fp32", deepspeed=raw)
    try:
        make_engine(torch.nn.Linear(2, 2), config, deepspeed_config(config, 1, 1))
    except UserError as error:
        print("refused:", error)
"""
SHARES = """
import sys
from pathlib import Path
import torch
from valley.cluster.rendezvous import join_process_group, leave_process_group, place
from valley.errors import UserError
from valley.train.config import TrainConfig
from valley.train.deepspeed_keys import deepspeed_config
from valley.train.engine import load_student, make_engine
torch.set_num_threads(1)
join_process_group(place(), Path(sys.argv[2]))
config = TrainConfig(zero_stage=3, precision="fp32")
model = load_student(Path(sys.argv[1]), config, deepspeed_config(config, 1, 2))
here = sum(p.ds_tensor.numel() for p in model.parameters())
whole = sum(p.numel() for p in model.parameters())
print("shares", here, sum(p.ds_numel for p in model.parameters()), whole)
for stage in (1, 3):
    config = TrainConfig(zero_stage=stage, precision="bf16")
    values = deepspeed_config(config, 1, 2)
    engine = make_engine(load_student(Path(sys.argv[1]), config, values), config, values)
    kinds = {b.dtype for b in engine.module.buffers()}, {p.dtype for p in engine.module.parameters()}
    assert kinds == ({torch.float32}, {torch.bfloat16}), kinds  # frequencies of the rotary positions
    engine.destroy()
print("buffers whole")
sums = {"data_types": {"grad_accum_dtype": "fp32"}}
config = TrainConfig(zero_stage=0, precision="bf16", deepspeed=sums)
values = deepspeed_config(config, 1, 2)
try:
    make_engine(load_student(Path(sys.argv[1]), config, values), config, values)
except UserError as error:
    print("refused:", error)
leave_process_group()
"""


def values(**settings):
    return deepspeed_config(TrainConfig(**settings), 4, 2)


@pytest.mark.parametrize(("share", "layers"), [(True, [0, 1, 2, 3]), (0.5, [1, 3]), (0.3, [3])])
def test_a_share_of_the_layers_recomputes(start, spaced, share, layers):
    shutil.copytree(start, spaced / "student")
    settings = json.loads((spaced / "student" / "config.json").read_text())
    settings |= {"num_hidden_layers": 4, "layer_types": ["full_attention"] * 4}
    (spaced / "student" / "config.json").write_text(json.dumps(settings))
    config = TrainConfig(activation_checkpointing=share)
    model = load_student(spaced / "student", config, deepspeed_config(config, 1, 1))
    found = [i for i, layer in enumerate(model.model.layers) if layer.gradient_checkpointing]
    assert found == layers
    ids = torch.tensor([[5, 6, 7, 8]])
    model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_raw_keys_are_added():
    told = values(
        zero_stage=2,
        deepspeed={
            "zero_optimization": {"overlap_comm": True, "stage": 2},
            "wall_clock_breakdown": True,
        },
    )
    assert told["zero_optimization"] == {"stage": 2, "overlap_comm": True}
    assert told["wall_clock_breakdown"] is True


@pytest.mark.parametrize(
    ("raw", "both"),
    [
        (
            {"zero_optimization": {"stage": 3}},
            r"zero_optimization\.stage is 3.*train\.zero_stage.* 0",
        ),
        (
            {"zero_optimization": {"offload_optimizer": {"device": "cpu"}}},
            r"offload_optimizer\.device is 'cpu'.*train\.offload makes it 'none'",
        ),
        ({"zero_optimisation": {"stage": 2}}, r"did you mean zero_optimization\?"),
        ({"zero_optimization": 2}, r"zero_optimization is 2"),
        ({"bf16": {"enabled": True}}, r"bf16\.enabled is True.*train\.precision"),
        (
            {"gradient_clipping": 2.0},
            r"gradient_clipping is 2\.0.*train\.gradient_clip makes it 1\.0",
        ),
        ({"train_batch_size": 7}, r"train_batch_size is 7.*train\.batch_size makes it 8"),
        ({"zero_allow_untested_optimizer": False}, "zero_allow_untested_optimizer"),
        ({"optimizer": {"type": "Adam"}}, r"train\.deepspeed\.optimizer: valley does this itself"),
        (
            {"zero_optimization": {"reduce_bucket_size": "auto"}},
            "filled in by the Hugging Face Trainer",
        ),
    ],
)
def test_a_contradiction_names_both(raw, both):
    with pytest.raises(UserError, match=both):
        values(precision="fp32", deepspeed=raw)


@pytest.mark.parametrize(
    ("raw", "fault"),
    [({"overlap_com": True}, "overlap_com: Extra"), ({"reduce_bucket_size": "x"}, "found 'x'")],
)
def test_what_deepspeed_itself_does_not_accept_is_named(start, raw, fault):
    config = TrainConfig(precision="fp32", deepspeed={"zero_optimization": raw})
    with pytest.raises(UserError, match=f"train.deepspeed: DeepSpeed does not accept.*{fault}"):
        load_student(start, config, deepspeed_config(config, 1, 1))


def test_what_deepspeed_fails_with_is_told_with_the_raw_keys():
    """In a process of its own: DeepSpeed wants a group of processes."""
    wrong = [
        {"communication_data_type": "foo"},
        {"data_types": {"grad_accum_dtype": "foo"}},
        {"wall_clock_breakdown": "yes"},
    ]
    done = subprocess.run(
        [sys.executable, "-c", FAILS, json.dumps(wrong)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    for raw in wrong:
        assert (
            f"refused: train.deepspeed: DeepSpeed fails with {raw} at zero_stage 0" in done.stdout
        )


def test_infinite_settings_are_refused():
    for name in ("epochs", "learning_rate", "stuck_after_s"):
        with pytest.raises(ValidationError):
            TrainConfig(**{name: math.inf})


def test_parts_of_an_epoch_are_counted_exactly():
    assert TrainConfig(epochs=1.1, batch_size=128).total_steps(12_800) == 110
    assert TrainConfig(epochs=0.1, batch_size=16).total_steps(160) == 1
    assert TrainConfig(epochs=1.1, batch_size=128).total_steps(12_801) == 111


def test_settings_that_cannot_go_together_are_refused():
    betas = [{"adam_betas": betas} for betas in ((1.0, 0.9), (0.9, math.nan))]
    apart = [{"offload": "cpu"}, {"row_tokens": 64}, {"packing": "epoch", "layout": "padded"}]
    for wrong in (*apart, *betas):
        with pytest.raises(ValidationError):
            TrainConfig(**wrong)


def test_new_settings_at_their_defaults_leave_what_was_trained_done():
    semantic = TrainConfig().semantic()
    assert (
        not {"packing", "row_tokens", "loss", "deepspeed", "layout", "attention"} & semantic.keys()
    )
    assert TrainConfig(layout="packed", attention="sdpa", loss_spike=None).semantic() == semantic
    for changed in ({"packing": "epoch"}, {"loss": "sequences"}, {"deepspeed": {"a": 1}}):
        assert TrainConfig(**changed).semantic() != semantic


def test_under_zero_3_no_rank_ever_holds_the_whole_model_and_bf16_spares_buffers(start, spaced):
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", SHARES, str(start), str(spaced)],
            env={
                **os.environ,
                "OMP_NUM_THREADS": "1",
                "SUBMITIT_LOCAL_NTASKS": "2",
                "SUBMITIT_LOCAL_GLOBALID": str(rank),
                "SUBMITIT_LOCAL_JOB_ID": f"shares-{Path(spaced).parent.name}",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    for said in [rank.communicate(timeout=300)[0] for rank in ranks]:
        assert "shares" in said and "buffers whole" in said, said[-3000:]
        refused = [line for line in said.splitlines() if line.startswith("refused: ")]
        assert refused and "zero_stage and precision do not go together" in refused[0]
        here, total, whole = map(int, said.partition("shares")[2].split()[:3])
        assert whole == 0 and total / 2 <= here < 0.55 * total


def test_offloading_without_a_compiler_says_what_to_do(spaced, monkeypatch):
    monkeypatch.setenv("PATH", str(spaced))
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(spaced / "extensions"))
    config = TrainConfig(offload="cpu", zero_stage=1)
    with pytest.raises(UserError, match=r"train\.offload: cpu needs .* compiler and ninja"):
        make_engine(torch.nn.Linear(2, 2), config, deepspeed_config(config, 1, 1))


@pytest.mark.slow
def test_an_offloaded_optimizer_trains_the_same_and_goes_on_to_the_bit(run_ranks):
    """It compiles DeepSpeed's CPU Adam, which takes a minute or more the first time."""
    recipe = {"batch_size": 8, "learning_rate": 2e-3, "precision": "fp32"}
    offloaded = {
        f"zero{stage} {precision}": {
            **recipe,
            "zero_stage": stage,
            "precision": precision,
            "offload": "cpu",
        }
        for stage in (1, 2, 3)
        for precision in ("fp32", "bf16")
    }
    half = {f"half {name}": config for name, config in offloaded.items()}
    for ended in (2, 5):
        ends = {"by": "flag", "rank": 0, "step": ended}
        configs = {"here": {**recipe, "zero_stage": 2}, **offloaded, **half}
        folder, logs = run_ranks(configs, 1, steps=8, ends=ends)
        _, resumed = run_ranks(half, 1, steps=8, folder=folder)
        here, there = ([line["loss"] for line in logs[n]] for n in ("here", "zero2 fp32"))
        assert there == pytest.approx(here, rel=1e-4)
        for name in offloaded:
            whole, again = (
                [(line["loss"], line["gradient_norm"]) for line in lines]
                for lines in (logs[name], resumed[f"half {name}"])
            )
            assert again == whole, name
            weights = [
                (folder / f"model {n}" / "model.safetensors").read_bytes()
                for n in (name, f"half {name}")
            ]
            assert weights[0] == weights[1], name


def test_an_optimizer_that_is_said_to_be_offloaded_nowhere_contradicts_nothing():
    for said in (None, {"device": "none"}):
        config = TrainConfig(deepspeed={"zero_optimization": {"offload_optimizer": said}})
        values = deepspeed_config(config, 1, 1)
        assert values["zero_optimization"]["offload_optimizer"] == {"device": "none"}
