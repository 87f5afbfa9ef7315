"""Rows: how a micro-batch's documents lie before the model, so that none sees another.

| layout | a row | what keeps documents apart |
|---|---|---|
| padded | one document, padded on the right | the row: attention is causal, so no token sees the padding behind it, and no mask is needed |
| packed | all documents, one after another | position ids that begin again, the bounds given to the attention, and no cache |

Packed, no position is wasted. The cache must be off in both: with it, transformers builds masks of its
own, and packed documents see each other, silently.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from valley.data.render import Document

if TYPE_CHECKING:
    import torch

IGNORED = -100


@dataclass(frozen=True)
class Rows:
    """A micro-batch. All tensors but `counted` and `options` have the shape (rows, length)."""

    tokens: torch.Tensor
    labels: torch.Tensor
    """The token that follows, where that token is part of the response, else -100."""
    weights: torch.Tensor | None
    """What each label's loss counts, float32; None where each counts 1."""
    counted: torch.Tensor
    """Where the labels are that count, in their order, as positions in the flattened rows: int64, of
    shape (labels that count,)."""
    options: dict[str, Any]
    """What else the model is called with."""

    @property
    def positions(self) -> int:
        """Tokens that are computed, padding included."""
        return self.tokens.numel()

    def at_counted(self, values: torch.Tensor) -> torch.Tensor:
        """Of values of shape (rows, length, …) those at labels that count, (labels that count, …)."""
        return values.flatten(0, 1)[self.counted]


def rows_of(
    documents: Sequence[Document],
    *,
    packed: bool,
    pad_token: int = 0,
    by_sequence: bool = False,
    device: Any = "cpu",
) -> Rows:
    """Lay documents out.

    Args:
        by_sequence: weight each response token by 1 / the response tokens of its document.
    """
    tokens, labels = (_packed if packed else padded_rows)(documents, pad_token)
    weights = _weights(documents, labels) if by_sequence else None
    counted = (labels.flatten() != IGNORED).nonzero()[:, 0]
    return Rows(
        _sent(tokens, device),
        _sent(labels, device),
        None if weights is None else _sent(weights, device),
        _sent(counted, device),
        _bounds(documents, device) if packed else {},
    )


def _sent(tensor: torch.Tensor, device: Any) -> torch.Tensor:
    """A tensor on a device, without waiting until a GPU has done what it was told before."""
    import torch

    if torch.device(device).type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def padded_rows(
    documents: Sequence[Document], pad_token: int, device: Any = "cpu"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and labels of documents in rows of their own, of shape (documents, longest), int64."""
    import torch

    longest = max(len(document.tokens) for document in documents)
    tokens = torch.full((len(documents), longest), pad_token, dtype=torch.long)
    labels = torch.full((len(documents), longest), IGNORED, dtype=torch.long)
    for row, document in enumerate(documents):
        ids = torch.tensor(document.tokens)
        tokens[row, : len(ids)] = ids
        labels[row, document.prompt_tokens - 1 : len(ids) - 1] = ids[document.prompt_tokens :]
    return tokens.to(device), labels.to(device)


def _packed(documents: Sequence[Document], _: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and labels of documents in one row; no label crosses a border."""
    import torch

    parts = [padded_rows([document], 0) for document in documents]
    return torch.cat([tokens for tokens, _ in parts], 1), torch.cat([ls for _, ls in parts], 1)


def _bounds(documents: Sequence[Document], device: Any) -> dict[str, Any]:
    """Where packed documents begin and end, in the words of transformers' attention."""
    import torch

    lengths = torch.tensor([len(document.tokens) for document in documents])
    bounds = _sent(torch.nn.functional.pad(lengths.cumsum(0), (1, 0)).to(torch.int32), device)
    positions = _sent(torch.cat([torch.arange(n) for n in lengths.tolist()])[None], device)
    longest = int(lengths.max())
    return {
        "position_ids": positions,
        "cu_seq_lens_q": bounds,
        "cu_seq_lens_k": bounds,
        "max_length_q": longest,
        "max_length_k": longest,
    }


def _weights(documents: Sequence[Document], labels: torch.Tensor) -> torch.Tensor:
    """1 / response tokens at each label; the labels are in the documents' order in both layouts."""
    import torch

    each = torch.tensor([d.response_tokens for d in documents])
    weights = torch.zeros(labels.shape)
    weights[labels != IGNORED] = (1 / each.float()).repeat_interleave(each)
    return weights
