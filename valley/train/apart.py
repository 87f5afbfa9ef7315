"""Apart: whether packed documents see each other, tried on the student itself before its first step.

What keeps them apart is the business of each architecture and its attention: masks made from positions,
bounds that a kernel is told. One that ignores these says nothing; so do layers that carry a state or a
convolution from token to token, biases by distance, and attentions with a mask of their own. So the student
is asked: does what it thinks of a document change with the words of the one before it?
"""

from __future__ import annotations

import random
from typing import Any

from valley.data.render import Document
from valley.errors import UserError
from valley.train.config import TrainConfig
from valley.train.head import summed_loss
from valley.train.rows import rows_of

LENGTHS = (48, 16)
"""Tokens of the document before, which no loss is taken of, and of the one that is looked at."""
TOLERANCE = 1e-3
"""Relative, of a loss. Apart it is the same to the bit (seen on CPUs), but perhaps for mixtures of experts,
which compute those tokens together that chose the same; a leak changed it by about 1 % and more where
weights were not near zero."""


def check_apart(engine: Any, config: TrainConfig) -> None:
    """Refuse a student whose documents see each other in a packed row. Every rank must call it.

    Raises:
        UserError: they do.
    """
    import torch

    model = engine.module
    draw = random.Random("valley.apart/1")
    first, other, second = (
        [draw.randrange(model.config.vocab_size) for _ in range(length)]
        for length in (LENGTHS[0], *LENGTHS)
    )

    def loss_behind(words: list[int]) -> float:
        documents = [Document(words, len(words)), Document(second, 1)]
        return float(summed_loss(engine, rows_of(documents, packed=True, device=engine.device)))

    engine.eval()
    with torch.no_grad():
        before, after = loss_behind(first), loss_behind(other)
    engine.train()
    if abs(before - after) > TOLERANCE * abs(before):
        raise UserError(
            f"train.layout: documents of a packed row see each other in this student ({model.config.model_type}) "
            f"with train.attention: {config.attention}: the loss of one is {before:.6g} or {after:.6g}, by the "
            "words of another; set train.layout: padded, with packing: examples and micro_batch_size"
        )
