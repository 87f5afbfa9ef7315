"""What only a GPU can show: its kernels, in half precision, keep documents apart and learn the same.

In bf16 nothing is equal to the digit, so each result is held against one in float32 of the documents run
apart on the CPU: what is packed, or computed by other kernels, may err little more than documents do that
are run apart in bf16 by torch's own kernels.
"""

from __future__ import annotations

import importlib.util
import json

import pytest
import torch
from students import ARCHITECTURES, documents

from valley.train.attention import NAMES, PACKAGES, has_varlen, lacking, register
from valley.train.head import chunked_loss, summed_loss
from valley.train.kernels import liger_loss, use_liger
from valley.train.rows import rows_of

pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"),
    pytest.mark.xdist_group("gpu"),
]
needs_liger = pytest.mark.skipif(
    importlib.util.find_spec("liger_kernel") is None, reason="no liger-kernel here"
)
DOCUMENTS = documents([90, 33, 200, 41, 130])
MORE_ERROR = 1.5
"""Times the error that bf16 itself makes."""
STEPS = 10


def student(name, attention, device="cpu", dtype=torch.float32):
    """As `students.student`, but of a shape that GPU kernels know."""
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(5)
    shape = {
        "vocab_size": 64,
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 1,
        "max_position_embeddings": 512,
        "initializer_range": 0.1,
    }
    config = AutoConfig.for_model(**(ARCHITECTURES[name] | shape | {"head_dim": 64}))
    model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).train()
    return model.to(device, dtype)


def results(model, packed):
    """All logits, and all gradients, as vectors in float32 on the CPU."""
    groups = [DOCUMENTS] if packed else [[document] for document in DOCUMENTS]
    logits = []
    for group in groups:
        rows = rows_of(group, packed=packed, device=model.device)
        with torch.no_grad():
            out = model(input_ids=rows.tokens, use_cache=False, **rows.options)
        logits.append(out.logits[0])
        summed_loss(model, rows).backward()
    gradients = torch.cat([p.grad.flatten() for p in model.parameters()])
    return torch.cat(logits).float().cpu(), gradients.float().cpu()


def errors(found, exact):
    return [float((f - e).norm() / e.norm()) for f, e in zip(found, exact, strict=True)]


@pytest.fixture(scope="module")
def references():
    """By architecture: what is exact, and how far torch's kernels are from it in bf16, run apart."""
    told = {}

    def of(name):
        if name not in told:
            exact = results(student(name, "eager"), packed=False)
            model = student(name, "sdpa", "cuda", torch.bfloat16)
            told[name] = exact, errors(results(model, packed=False), exact)
        return told[name]

    return of


def attention_here(attention):
    if attention in PACKAGES and (lack := lacking(attention)):
        pytest.skip(lack)
    if attention == "flash_attention_4" and torch.cuda.get_device_capability() < (9, 0):
        pytest.skip("a GPU before Hopper")
    if attention == "documents" and not has_varlen():
        pytest.skip("this torch has no varlen_attn for it")
    register()
    return NAMES.get(attention, attention)


def check(found, references, name):
    exact, usual = references(name)
    told = errors(found, exact)
    print(f"{name}: relative errors {told}, of torch apart {usual}")
    assert all(e <= MORE_ERROR * u for e, u in zip(told, usual, strict=True))


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("attention", ["documents", *PACKAGES, "flex", "sdpa"])
def test_packed_is_apart_in_bf16(references, name, attention):
    model = student(name, attention_here(attention), "cuda", torch.bfloat16)
    check(results(model, packed=True), references, name)


def test_flex_packed_is_apart_in_float32(references):
    model = student("qwen2", attention_here("flex"), "cuda")
    torch.backends.cuda.matmul.allow_tf32 = False
    assert max(errors(results(model, packed=True), references("qwen2")[0])) < 1e-4


def test_documents_that_see_each_other_would_be_seen(references):
    """Without bounds the row is one document: far beyond what the tests above allow."""
    exact, usual = references("qwen2")
    model = student("qwen2", attention_here("documents"), "cuda", torch.bfloat16)
    rows = rows_of(DOCUMENTS, packed=True, device="cuda")
    with torch.no_grad():
        logits = model(input_ids=rows.tokens, use_cache=False).logits[0].float().cpu()
    assert errors([logits], exact[:1])[0] > 5 * MORE_ERROR * usual[0]


@needs_liger
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_ligers_kernels_err_no_more_than_torchs(references, name, monkeypatch):
    model = student(name, attention_here("documents"), "cuda", torch.bfloat16)
    modeling = __import__(type(model).__module__, fromlist=["_"])
    for each in [n for n in vars(modeling) if n.endswith(("RMSNorm", "MLP", "rotary_pos_emb"))]:
        monkeypatch.setattr(modeling, each, getattr(modeling, each))  # put back at the end
    use_liger(model)
    check(results(model, packed=True), references, name)


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param(liger_loss, marks=needs_liger),
        lambda h, w, t, c: chunked_loss(h, w, t, None, c),
    ],
)
def test_a_head_in_chunks(loss):
    """3,000 tokens, a vocabulary of 50,000: 600 MB of logits in float32, of which a fifth is held."""
    generator = torch.Generator("cuda").manual_seed(0)
    options = {"device": "cuda", "generator": generator}
    hidden, weight = (torch.randn(n, 256, **options).bfloat16() / 4 for n in (3000, 50_000))
    labels = torch.randint(50_000, (3000,), **options)
    of = [hidden.requires_grad_(), weight.requires_grad_()]
    found = loss(hidden, weight, labels, 1 << 25)
    gradients = torch.autograd.grad(found, of)
    exact = [each.detach().float().requires_grad_() for each in of]
    expected = torch.nn.functional.cross_entropy(exact[0] @ exact[1].T, labels, reduction="sum")
    assert abs(float(found.float() - expected) / float(expected)) < 1e-3
    wanted = torch.autograd.grad(expected, exact)
    assert max(errors([g.float() for g in gradients], wanted)) < 1e-2


@pytest.fixture(scope="module")
def trained(run_ranks):
    """Trainings with NCCL on one GPU, by what is different in them."""
    bf16 = {"batch_size": 8, "micro_batch_size": 4, "learning_rate": 2e-3, "precision": "bf16"}
    fp32 = {**bf16, "precision": "fp32"}
    configs = {
        "fp32": fp32,
        "fp32 zero3": {**fp32, "zero_stage": 3},
        **{f"bf16 zero{n}": {**bf16, "zero_stage": n} for n in range(4)},
        "bf16 torch": {**bf16, "kernels": "torch"},
        "bf16 padded": {**bf16, "layout": "padded"},
        "bf16 recomputed": {**bf16, "activation_checkpointing": 0.5},
        "bf16 by tokens": {**bf16, "zero_stage": 2, "micro_batch_tokens": 64},
        "bf16 sequences": {**bf16, "loss": "sequences"},
        "half bf16": {**bf16, "zero_stage": 2},
    }
    new = {"OMP_NUM_THREADS": "4"}  # processes of their own: CUDA does not outlive a fork
    stop = {"by": "flag", "rank": 0, "step": 5}
    folder, _ = run_ranks(configs, 1, steps=STEPS, environment=new, ends=stop)
    again = {"half bf16": configs["half bf16"]}
    _, logs = run_ranks(again, 1, steps=STEPS, environment=new, folder=folder)
    for name in configs:
        lines = (folder / f"{name}.jsonl").read_text().splitlines()
        logs[name] = [json.loads(line) for line in lines]
    return folder, logs


def losses(logs, name):
    assert [line["step"] for line in logs[name]] == list(range(1, STEPS + 1))
    return torch.tensor([line["loss"] for line in logs[name]])


def test_trainings_in_float32_lose_the_same(trained):
    _, logs = trained
    torch.testing.assert_close(losses(logs, "fp32 zero3"), losses(logs, "fp32"), rtol=1e-4, atol=0)


@pytest.mark.parametrize(
    "name",
    [
        *(f"bf16 zero{n}" for n in range(4)),
        *("bf16 torch", "bf16 padded", "bf16 recomputed", "bf16 by tokens"),
    ],
)
def test_trainings_in_bf16_lose_the_same(trained, name):
    _, logs = trained
    difference = (losses(logs, name) - losses(logs, "fp32")).abs() / losses(logs, "fp32")
    print(f"{name}: {difference.max():.1e} from float32")
    assert difference.max() < 0.01
    assert all(line["peak_memory_gib"] > 0 for line in logs[name])


def test_a_training_that_stopped_goes_on(trained):
    """GPU kernels add up in no fixed order, so it is not the same to the bit; what came out is told."""
    folder, logs = trained
    whole, resumed = losses(logs, "bf16 zero2"), losses(logs, "half bf16")
    weights = [
        (folder / f"model {n}" / "model.safetensors").read_bytes()
        for n in ("bf16 zero2", "half bf16")
    ]
    print(f"largest difference of a loss {(whole - resumed).abs().max():.1e}")
    print("weights are the same to the bit:", weights[0] == weights[1])
    assert (folder / "resume half bf16").is_dir()
    torch.testing.assert_close(resumed, whole, rtol=0.005, atol=0)
