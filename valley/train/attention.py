"""Rows: how documents are laid out for the model, so that none sees another and padding changes nothing.

Documents lie in rows of their own, padded on the right. Attention is causal, so no token of a document
can see the padding behind it, and no mask is needed: without one, PyTorch takes its fast causal kernel.
The cache must be off, or transformers builds masks of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from valley.data.render import Document

if TYPE_CHECKING:
    import torch

IGNORED = -100


def padded_rows(
    documents: list[Document], pad_token: int, device: Any = "cpu"
) -> tuple[torch.Tensor, torch.Tensor]:
    """Lay documents out in rows.

    Returns:
        `tokens` and `labels`, both of shape (documents, longest), int64. A label is the token that
        follows, where that token is part of the response, else -100.
    """
    import torch

    longest = max(len(document.tokens) for document in documents)
    tokens = torch.full((len(documents), longest), pad_token, dtype=torch.long)
    labels = torch.full((len(documents), longest), IGNORED, dtype=torch.long)
    for row, document in enumerate(documents):
        ids = torch.tensor(document.tokens)
        tokens[row, : len(ids)] = ids
        labels[row, document.prompt_tokens - 1 : len(ids) - 1] = ids[document.prompt_tokens :]
    return tokens.to(device), labels.to(device)


def summed_loss(model: Any, tokens: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The sum, not the mean, of the response tokens' cross-entropies, in float32."""
    import torch

    hidden = model(input_ids=tokens, use_cache=False).logits
    # Only the rows that count: the prompt's logits are never needed in float32.
    counted = labels != IGNORED
    return torch.nn.functional.cross_entropy(
        hidden[counted].float(), labels[counted], reduction="sum"
    )
