"""Packed documents never see each other: logits and gradients are those of the documents run apart."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest
import torch
from students import ARCHITECTURES, documents, student

from valley.errors import UserError
from valley.train.attention import (
    NAMES,
    check_windows,
    document_attention,
    has_varlen,
    implementation,
    is_packed,
    register,
)
from valley.train.config import TrainConfig
from valley.train.head import summed_loss
from valley.train.rows import rows_of

DOCUMENTS = documents([9, 3, 20, 4, 13])
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
    register()


def logits_of(model, rows, **more):
    return model(input_ids=rows.tokens, **{"use_cache": False, **rows.options, **more}).logits


def apart_and_packed(name, attention):
    """A student that takes documents one by one, and the same that takes them packed."""
    return student(name), student(name, NAMES.get(attention, attention))


def logits_apart(model):
    return torch.cat([logits_of(model, rows_of([d], packed=False)) for d in DOCUMENTS], 1)


def difference(found, expected):
    """The largest of the parameters' gradients, each against the norm of what it should be."""
    pairs = zip(found.parameters(), expected.parameters(), strict=True)
    return max(float((a.grad - b.grad).norm() / b.grad.norm()) for a, b in pairs)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("attention", ["eager", "sdpa", "documents"])
def test_packed_is_apart(name, attention):
    apart, packed = apart_and_packed(name, attention)
    rows = rows_of(DOCUMENTS, packed=True)
    torch.testing.assert_close(logits_of(packed, rows), logits_apart(apart), **TOLERANCE)
    losses = [summed_loss(apart, rows_of([d], packed=False)) for d in DOCUMENTS]
    torch.stack(losses).sum().backward()
    summed_loss(packed, rows, chunk_logits=500).backward()
    assert difference(packed, apart) < 1e-5


@pytest.mark.skipif(not has_varlen(), reason="a torch before the kernel")
@pytest.mark.parametrize("groups", [1, 3])
def test_the_gpu_kernel_is_called_as_it_wants_to_be(groups):
    """On a GPU it computes; here torch checks the call's types, and the shapes of what comes back."""
    options = {"device": "meta", "dtype": torch.bfloat16, "requires_grad": True}
    query = torch.empty(1, 2 * groups, 49, 16, **options)
    key, value = (torch.empty(1, 2, 49, 16, **options) for _ in range(2))
    bounds = rows_of(DOCUMENTS, packed=True).options["cu_seq_lens_q"]
    assert bounds.dtype == torch.int32
    call = {"scaling": 0.25, "cu_seq_lens_q": bounds.to("meta"), "max_length_q": 20}
    out, _ = document_attention(None, query, key, value, None, **call)
    assert out.shape == (1, 49, 2 * groups, 16)
    out.sum().backward()
    assert all(each.grad.shape == each.shape for each in (query, key, value))


@pytest.mark.skipif(not has_varlen(), reason="a torch before the kernel")
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_nothing_waits_for_the_gpu(name):
    """The meta device has no values, so it refuses whatever would have to wait for one."""
    model = student(name, NAMES["documents"]).to("meta", torch.bfloat16)
    rows = rows_of(DOCUMENTS, packed=True, device="meta")
    summed_loss(model, rows, chunk_logits=500).backward()
    assert all(p.grad is not None for p in model.parameters())
    with pytest.raises(RuntimeError, match="meta"):
        (rows.tokens > 3).any().item()


def test_activation_checkpointing_changes_nothing():
    plain, recomputing = apart_and_packed("qwen2", "documents")
    recomputing.gradient_checkpointing_enable({"use_reentrant": False})
    rows = rows_of(DOCUMENTS, packed=True)
    summed_loss(plain, rows_of(DOCUMENTS, packed=False)).backward()
    summed_loss(recomputing, rows).backward()
    assert difference(recomputing, plain) < 1e-5


@pytest.mark.slow
def test_flex_packed_is_apart():
    """Forward: torch has no gradient of it on the CPU. It compiles a kernel, which takes a minute."""
    apart, packed = apart_and_packed("qwen2", "flex")
    try:
        with torch.no_grad():
            found = logits_of(packed, rows_of(DOCUMENTS, packed=True))
    except (RuntimeError, NotImplementedError) as error:
        pytest.skip(f"flex attention does not run here: {str(error)[:200]}")
    torch.testing.assert_close(found, logits_apart(apart).detach(), **TOLERANCE)


@pytest.mark.parametrize(
    "more",
    [
        {"use_cache": True},
        {"attention_mask": torch.ones(1, 49, dtype=torch.long)},
        {"position_ids": None},
    ],
    ids=["cache", "mask of ones", "no positions"],
)
def test_what_lets_documents_see_each_other_would_be_seen(more):
    """The calls that lose the borders silently differ by far more than the tests above allow."""
    apart, packed = apart_and_packed("qwen3", "sdpa")
    found = logits_of(packed, rows_of(DOCUMENTS, packed=True), **more)
    assert (found - logits_apart(apart)).abs().max() > 0.1


def test_what_documents_attention_does_not_know_is_refused():
    windows = student("qwen2")
    windows.config.layer_types = ["full_attention", "sliding_attention"]
    with pytest.raises(UserError, match="sliding_attention"):
        check_windows(windows, NAMES["documents"])
    check_windows(windows, "sdpa")
    windows.config.layer_types = ["full_attention", "conv"]
    with pytest.raises(UserError, match=r"no conv layers.*train\.layout: padded"):
        check_windows(windows, NAMES["documents"])
    del windows.config.layer_types  # as in Mistral's configuration
    windows.config.sliding_window = 4096
    with pytest.raises(UserError, match="sliding_attention"):
        check_windows(windows, NAMES["documents"])
    check_windows(student("llama"), NAMES["documents"])
    q = torch.ones(1, 2, 3, 4)
    with pytest.raises(UserError, match="know no s_aux"):
        document_attention(None, q, q, q, None, s_aux=torch.ones(2))
    masked = student("llama", NAMES["documents"])
    masked.config.attention_dropout = 0.1
    for layer in masked.model.layers:
        layer.self_attn.attention_dropout = 0.1
    with pytest.raises(UserError, match="attention_dropout"):
        logits_of(masked, rows_of(DOCUMENTS, packed=True))


@pytest.mark.skipif(torch.cuda.is_available(), reason="what is chosen on a CPU")
def test_what_auto_stands_for_on_a_cpu():
    assert implementation(TrainConfig()) == "sdpa" and not is_packed(TrainConfig())
    packed = TrainConfig(layout="packed")
    assert implementation(packed) == NAMES["documents"] and is_packed(packed)
    assert is_packed(TrainConfig(packing="epoch"))
    with pytest.raises(UserError, match="flex has no gradient without a GPU"):
        implementation(TrainConfig(attention="flex"))
    assert is_packed(TrainConfig(micro_batch_tokens=64))
    for version, package in (("2", "flash-attn 2.3.3"), ("4", "flash-attn-4 4.0.0b1")):
        said = rf"the package {package} or newer, and there is no GPU here; .*documents or auto"
        with pytest.raises(UserError, match=said):
            implementation(TrainConfig(attention=f"flash_attention_{version}"))


@pytest.fixture
def gpu(monkeypatch):
    """As on a GPU with flash-attn-4, as far as the choice of an attention looks."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "NVIDIA A100")
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (9, 0))
    versions = {"flash-attn-4": "4.0.0b36"}

    def version(name):
        if name not in versions:
            raise PackageNotFoundError
        return versions[name]

    monkeypatch.setattr("valley.train.attention.version", version)
    return versions


def test_what_auto_stands_for_on_a_gpu(gpu, monkeypatch):
    assert implementation(TrainConfig()) == NAMES["documents"]
    assert implementation(TrainConfig(layout="padded")) == "sdpa"
    assert implementation(TrainConfig(layout="packed", precision="fp32")) == "flex_attention"
    for found, chosen in (("2.8.3.post1", "flash_attention_2"), ("2.3.2", NAMES["documents"])):
        gpu["flash-attn"] = found
        assert implementation(TrainConfig()) == chosen
    with pytest.raises(UserError, match=r"flash-attn 2\.3\.3 or newer, and it is 2\.3\.2 here;"):
        implementation(TrainConfig(attention="flash_attention_2"))
    monkeypatch.setattr("valley.train.attention.has_varlen", lambda: False)
    assert implementation(TrainConfig()) == "flex_attention"


def test_flash_attention_4_wants_packed_rows_in_half_precision_and_hopper(gpu, monkeypatch):
    def refused(said, **settings):
        with pytest.raises(UserError, match=said):
            implementation(TrainConfig(attention="flash_attention_4", **settings))

    assert implementation(TrainConfig(attention="flash_attention_4")) == NAMES["flash_attention_4"]
    refused("takes half precision only", precision="fp32", layout="packed")
    refused("is for packed rows", layout="padded")
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (8, 0))
    refused("from Hopper on, and this is NVIDIA A100")
    gpu.clear()
    refused("and flash-attn-4 is not installed here")
    windows = student("qwen2")
    windows.config.layer_types = ["sliding_attention"]
    with pytest.raises(UserError, match=r"flash_attention_4 knows no sliding_attention"):
        check_windows(windows, NAMES["flash_attention_4"])
