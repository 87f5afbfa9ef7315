"""The chunked head gives the loss and the gradients of whole logits, and holds few of them."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from students import ARCHITECTURES, documents, student

from valley.train.head import chunked_loss, summed_loss
from valley.train.rows import rows_of

PEAKS = """
import re, torch
from valley.train.head import chunked_loss

def peak_mib():  # of this program: what getrusage says begins with the peak of what started it
    with open("/proc/self/status") as status:
        return int(re.search(r"VmHWM:\\s+(\\d+)", status.read())[1]) / 1024

def used_mib(loss_of):
    hidden, weight = torch.randn(2048, 32, requires_grad=True), torch.randn(32000, 32, requires_grad=True)
    labels = torch.randint(32000, (2048,))
    before = peak_mib()
    loss_of(hidden, weight, labels).backward()
    return peak_mib() - before

torch.set_num_threads(1)
used_mib(lambda h, w, t: chunked_loss(h[:8], w, t[:8], chunk_logits=1 << 20))  # what torch itself needs
chunked = used_mib(lambda h, w, t: chunked_loss(h, w, t, chunk_logits=1 << 20))
whole = used_mib(lambda h, w, t: torch.nn.functional.cross_entropy(h @ w.T, t, reduction="sum"))
print(chunked, whole)
"""


@settings(deadline=None, max_examples=30)
@given(
    tokens=st.integers(0, 9),
    chunk=st.integers(1, 60),
    weighted=st.booleans(),
    outer=st.sampled_from([1.0, -0.3]),
)
def test_any_chunk_gives_the_same(tokens, chunk, weighted, outer):
    generator = torch.Generator().manual_seed(tokens)
    hidden = torch.randn(tokens, 5, generator=generator, dtype=torch.float32, requires_grad=True)
    weight = torch.randn(7, 5, generator=generator, requires_grad=True)
    labels = torch.randint(7, (tokens,), generator=generator)
    weights = torch.rand(tokens, generator=generator) if weighted else None
    found = chunked_loss(hidden, weight, labels, weights, chunk)
    gradients = torch.autograd.grad(found * outer, (hidden, weight))
    each = torch.nn.functional.cross_entropy(hidden @ weight.T, labels, reduction="none")
    expected = (each if weights is None else each * weights).sum()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    wanted = torch.autograd.grad(expected * outer, (hidden, weight))
    for a, b in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)


def test_in_half_precision_the_weights_gradient_adds_up_in_float32():
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(4000, 8, generator=generator).bfloat16().requires_grad_()
    weight = torch.randn(11, 8, generator=generator).bfloat16().requires_grad_()
    labels = torch.randint(11, (4000,), generator=generator)
    found = torch.autograd.grad(chunked_loss(hidden, weight, labels, chunk_logits=11), weight)[0]
    exact = weight.detach().double().requires_grad_()
    loss = torch.nn.functional.cross_entropy(
        hidden.detach().double() @ exact.T, labels, reduction="sum"
    )
    expected = torch.autograd.grad(loss, exact)[0]
    error = (found.double() - expected).norm() / expected.norm()
    assert found.dtype == torch.bfloat16 and error < 0.01


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("by_sequence", [False, True])
def test_a_students_head_tied_or_not(name, by_sequence):
    torch.set_num_threads(1)
    chunked, whole = student(name), student(name)
    rows = rows_of(documents([7, 12, 4]), packed=False, by_sequence=by_sequence)
    losses = summed_loss(chunked, rows, chunk_logits=200), summed_loss(whole, rows)
    torch.testing.assert_close(*losses, rtol=1e-5, atol=1e-6)
    for loss in losses:
        loss.backward()
    for found, expected in zip(chunked.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(found.grad, expected.grad, rtol=1e-4, atol=1e-5)
    # Between two calls it is the model it was.
    assert chunked(input_ids=rows.tokens).logits.shape == (*rows.tokens.shape, 64)


def test_a_head_that_scales_its_logits_is_left_alone():
    torch.set_num_threads(1)
    scaled = student("llama")
    scaled.config.model_type = "granite"
    rows = rows_of(documents([7, 12]), packed=False)
    found = summed_loss(scaled, rows, chunk_logits=200)
    torch.testing.assert_close(found, summed_loss(student("llama"), rows))


def test_the_logits_never_exist_as_a_whole():
    """2,048 tokens and 32,000 words: 250 MiB of logits, and at least as much for their gradient."""
    done = subprocess.run(
        [sys.executable, "-c", PEAKS], capture_output=True, text=True, check=True, timeout=300
    )
    chunked, whole = map(float, done.stdout.split())
    assert whole > 400 and chunked < 60, done.stdout
