"""A tiny student whose weights are so large that its nonsense differs from problem to problem."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from valley.data.problems import Problem
from valley.data.render import instruction
from valley.student import load_model
from valley.student_config import TinyStudent
from valley.tiny_student import make_tiny


def small_wild(problems: Iterable[Problem], folder: Path) -> Path:
    """One layer of 32; returns its folder, which exists."""
    made = TinyStudent(layers=1, hidden=32, intermediate=48, heads=2, seed=4)
    make_wild(made, problems, folder, std=0.3)
    return folder


def make_wild(student: TinyStudent, problems: Iterable[Problem], folder: Path, std: float) -> None:
    """Make a student of random weights.

    Args:
        problems: those whose words its tokenizer knows.
        folder: exists.
        std: of all weights but biases and norms.
    """
    import torch

    make_tiny(student, [instruction(problem) for problem in problems], folder)
    network = load_model(folder, "fp32")
    torch.manual_seed(0)
    for weights in network.parameters():
        if weights.dim() > 1:
            torch.nn.init.normal_(weights, std=std)
    network.save_pretrained(folder)
