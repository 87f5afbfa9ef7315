"""The likelihood of held-out traces: how well a checkpoint predicts what no training set holds.

A trace's negative log-likelihood is that of its response (thought, answer and the token that ends them),
given its prompt, as the loss of a training is: rendered alike, by `chat`, whatever a decoding profile
asks. It is kept per trace, as a sum over tokens with their number, so that traces can be resampled.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any

from valley.data.chat import ChatConfig
from valley.data.held_out import HeldOutTrace
from valley.data.render import Chat, Document
from valley.errors import UserError
from valley.evaluate.backends.base import Backend
from valley.records import digest

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeldOut:
    """The traces, and how their problems are asked."""

    traces: list[HeldOutTrace]
    chat: ChatConfig

    def documents(self, tokenizer: Any, context: int) -> list[Document | None]:
        """The traces as tokens; None for one that is longer than the model's context.

        Raises:
            UserError: all of them are, or the tokenizer names no token that ends an answer.
        """
        pairs = [(trace.prompt, trace.response) for trace in self.traces]
        whole = Chat(tokenizer, self.chat).documents(pairs)
        # A backend may have to leave room for a token that follows.
        found = [d if len(d.tokens) < context else None for d in whole]
        if not any(found):
            raise UserError(
                f"all {len(found)} held-out traces are longer than the model's context of {context} tokens; "
                "leave generate.held_out out"
            )
        return found

    def score(self, documents: list[Document | None], backend: Backend) -> dict[str, Any]:
        """What a generation's outcome says of them.

        `nll` is by trace, in nats, summed over the response's `tokens`; both None where a trace is longer
        than the context. `traces` is the digest of the ids: what differs in it is of other traces.
        """
        began = time.perf_counter()
        fitting = [document for document in documents if document is not None]
        sums = iter(backend.surprise(fitting))
        nll = [None if document is None else next(sums) for document in documents]
        tokens = [None if document is None else document.response_tokens for document in documents]
        took_s = time.perf_counter() - began
        per_token = sum(filter(None, nll)) / sum(filter(None, tokens))
        logger.info(
            "%d held-out traces scored in %.1f s: %.4f nats per token; %d are longer than the context",
            len(fitting),
            took_s,
            per_token,
            len(documents) - len(fitting),
        )
        return {
            "traces": digest([trace.id for trace in self.traces]),
            "nll": nll,
            "tokens": tokens,
            "scored_s": round(took_s, 3),
        }
