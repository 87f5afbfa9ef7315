from __future__ import annotations

import pytest
from students import student

from valley.data.pack import Batch
from valley.train.throughput import ModelShape, Throughput, peak_tflops


def test_flops_count_each_document_by_itself_and_causally():
    shape = ModelShape(body=1000, head=100, layers=2, attention_width=8)
    # 6 x (1000 x 7 + 100 x 5) + 6 x 2 x 8 x (9 + 16)
    assert shape.flops([3, 4], 5) == 45_000 + 2_400
    assert shape.flops([7], 5) - shape.flops([3, 4], 5) == 6 * 2 * 8 * (49 - 25)


@pytest.mark.parametrize("name", ["qwen3", "smollm2"])
def test_the_shape_of_a_student_tied_or_not(name):
    model = student(name)
    shape = ModelShape.of(model)
    embeddings = 64 * 48
    tied = model.config.tie_word_embeddings
    assert shape.head == embeddings
    total = sum(p.numel() for p in model.parameters())
    assert shape.body + embeddings * (1 if tied else 2) == total
    assert shape.attention_width == (48 if tied else 4 * 16)


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA L40S", 362),
        ("NVIDIA L40", None),
        ("Tesla V100", None),
    ],
)
def test_peaks_are_known_by_whole_words(name, peak):
    assert peak_tflops(name) == peak


def test_a_step_is_counted():
    shape = ModelShape(body=1000, head=100, layers=2, attention_width=8)
    throughput = Throughput(shape=shape, peak_flops=1e6)
    throughput.add(Batch([], [3, 4], 5), positions=8, steps_left=3)
    line = throughput.step
    assert (line["tokens"], line["documents"], line["positions"]) == (7, 2, 8)
    assert line["step_positions_per_s"] >= line["step_tokens_per_s"] > 0
    assert line["mfu"] > 0 and line["eta_s"] >= 0 and line["peak_memory_gib"] > 0
    assert throughput.fill == 7 / 8
    assert Throughput().mfu is None
