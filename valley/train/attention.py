"""Attention over packed documents: which implementation a training uses, and our own.

| name | what it is | a row of 32k tokens |
|---|---|---|
| documents | ours: each document's causal attention by itself; a loop on the CPU, torch's `varlen_attn` on a GPU | yes |
| flash_attention_2 | the flash-attn package, on GPUs | yes |
| flash_attention_4 | ours, by the kernel of the flash-attn-4 package, on GPUs from Hopper on | yes |
| flex | torch's compiled block mask | yes; on the CPU forward only |
| sdpa, eager | a dense mask over the whole row | no: memory grows with its square |

All take the same documents apart, which the tests compare with documents run one by one. transformers
finds ours under its registered name, as it finds its own.
"""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from packaging.version import Version

from valley.errors import UserError
from valley.train.config import TrainConfig

if TYPE_CHECKING:
    import torch

OURS = "valley_documents"
OURS_BY_FLASH_4 = "valley_documents_4"  # transformers looks for "flash" in such names
NAMES = {"flex": "flex_attention", "documents": OURS, "flash_attention_4": OURS_BY_FLASH_4}
WINDOWS = frozenset({"sliding_attention", "chunked_attention"})
"""Layers that other attentions take from masks; those that are no attention at all none keeps apart."""
UNKNOWN = ("s_aux", "softcap", "sliding_window")
"""What transformers may tell an attention that ours does not know."""
PACKAGES = {
    "flash_attention_2": ("flash-attn", "2.3.3"),
    "flash_attention_4": ("flash-attn-4", "4.0.0b1"),
}
"""What has the kernel, and the oldest version: of the first, what transformers takes."""


def is_packed(config: TrainConfig) -> bool:
    """Whether a micro-batch's documents lie in one row: where asked, and by default on GPUs in bf16.

    The kernels that take documents apart on GPUs know half precision only.
    """
    import torch

    if config.layout == "auto":
        fast = torch.cuda.is_available() and config.precision == "bf16"
        rows = config.packing == "epoch" or config.micro_batch_tokens is not None
        return rows or fast
    return config.layout == "packed"


def implementation(config: TrainConfig) -> str:
    """The name that transformers knows an attention by.

    Raises:
        UserError: its package is missing.
    """
    import torch

    register()
    asked: str = config.attention
    if asked == "auto":
        if not is_packed(config):
            asked = "sdpa"
        elif torch.cuda.is_available() and config.precision == "fp32":
            asked = "flex"
        elif torch.cuda.is_available():
            flash = "flash_attention_2"
            asked = flash if not lacking(flash) else "documents" if has_varlen() else "flex"
        else:
            asked = "documents"
    if asked == "flex" and not torch.cuda.is_available():
        raise UserError(
            "train.attention: flex has no gradient without a GPU, and there is none here; set "
            "train.attention: documents or auto"
        )
    if asked in PACKAGES and (lack := lacking(asked)):
        raise UserError(
            f"train.attention: {asked} needs a GPU and the package {' '.join(PACKAGES[asked])} or newer, and "
            f"{lack}; set train.attention: documents or auto"
        )
    if asked == "flash_attention_4" and not is_packed(config):
        raise UserError(
            "train.attention: flash_attention_4 is for packed rows; set train.layout: packed, or "
            "train.attention: auto"
        )
    if asked == "flash_attention_4" and torch.cuda.get_device_capability() < (9, 0):
        raise UserError(
            "train.attention: flash_attention_4 has a gradient on GPUs from Hopper on, and this is "
            f"{torch.cuda.get_device_name()}; set train.attention: documents or auto"
        )
    if (
        asked in ("documents", *PACKAGES)
        and config.precision == "fp32"
        and torch.cuda.is_available()
    ):
        raise UserError(
            f"train.attention: {asked} takes half precision only on a GPU; set train.precision: bf16, or "
            "train.attention: auto"
        )
    if (
        asked == "documents"
        and torch.cuda.is_available()
        and is_packed(config)
        and not has_varlen()
    ):
        raise UserError(
            f"train.attention: documents needs torch 2.11 or newer for packed rows on a GPU, and this is "
            f"{torch.__version__}; install that, or set train.attention: auto"
        )
    return NAMES.get(asked, asked)


def check_windows(model: Any, attention: str) -> None:
    """Refuse our attention for models whose layers see only a window.

    Raises:
        UserError: the model has such layers.
    """
    asked = "documents" if attention == OURS else "flash_attention_4"
    layers = getattr(model.config, "layer_types", None) or []
    if not layers and getattr(model.config, "sliding_window", None) is not None:
        layers = ["sliding_attention"]  # all of them, as in Mistral's first models
    if attention in (OURS, OURS_BY_FLASH_4) and any(kind != "full_attention" for kind in layers):
        others = {*layers} - {"full_attention"}
        way = "attention: flex or flash_attention_2" if others <= WINDOWS else "layout: padded"
        raise UserError(
            f"train.attention: {asked} knows no {', '.join(sorted(others))} layers, which this model has; set "
            f"train.{way}"
        )


def register() -> None:
    """Make our attentions known to transformers."""
    from transformers import AttentionInterface

    # Without a function that makes its masks, so that none is made: documents are taken apart by their
    # bounds. Before making one, transformers would look at the positions, and wait for the GPU to do so.
    AttentionInterface.register(OURS, document_attention)
    AttentionInterface.register(OURS_BY_FLASH_4, partial(document_attention, kernel=_flash_4))


def document_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int = 0,
    kernel: Callable[..., Any] | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each document of a packed row, or within each row of several.

    Args:
        query: (rows, heads, length, width); `key` and `value` may have fewer heads.
        cu_seq_lens_q: int32 bounds of the documents of the one row; without them a row is a document.
        max_length_q: the longest document's length.
        kernel: what computes it on a GPU; None for torch's.

    Returns:
        (rows, length, heads, width), and no weights.

    Raises:
        UserError: dropout, a mask or one of `UNKNOWN`, which it does not know.
    """
    if attention_mask is not None or dropout:
        raise UserError(
            "train.attention: documents and flash_attention_4 know neither masks nor dropout; set the model's "
            "attention_dropout to 0, or train.attention: flex"
        )
    if unknown := [name for name in UNKNOWN if more.get(name) is not None]:
        raise UserError(
            f"train.attention: documents and flash_attention_4 know no {unknown[0]}, which this model's "
            "attention has; set train.attention: eager or sdpa, and train.layout: padded"
        )
    if cu_seq_lens_q is None:
        return _causal(query, key, value, scaling).transpose(1, 2), None
    if query.device.type != "cpu":
        # (1, heads, length, width) to (length, heads, width), without a copy in either direction.
        q, k, v = (each.squeeze(0).transpose(0, 1) for each in (query, key, value))
        out = (kernel or _varlen)(q, k, v, cu_seq_lens_q, max_length_q, scaling)
        return out.unsqueeze(0), None
    import torch

    lengths = cu_seq_lens_q.diff().tolist()
    parts = zip(*(torch.split(each, lengths, 2) for each in (query, key, value)), strict=True)
    apart = [_causal(q, k, v, scaling).transpose(1, 2) for q, k, v in parts]
    return torch.cat(apart, 1), None


def _causal(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, scale: float | None) -> torch.Tensor:
    import torch

    return torch.nn.functional.scaled_dot_product_attention(
        q, k, v, is_causal=True, scale=scale, enable_gqa=q.shape[1] != k.shape[1]
    )


def _varlen(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bounds: torch.Tensor,
    longest: int,
    scale: float | None,
) -> torch.Tensor:
    """The same on a GPU, in torch's kernel: FlashAttention-2, in half precision only."""
    from torch.nn.attention.varlen import varlen_attn

    # Before 2.13 torch did not ask to be told, and took fewer heads of keys as they were.
    grouped = q.shape[1] != k.shape[1] and _knows("enable_gqa")
    options: dict[str, Any] = {"enable_gqa": True} if grouped else {}
    out: Any = varlen_attn(
        q,
        k,
        v,
        bounds,
        bounds,
        longest,
        longest,
        scale=scale,
        window_size=(-1, 0),  # causal
        **options,
    )
    return out


def _flash_4(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bounds: torch.Tensor,
    longest: int,
    scale: float | None,
) -> torch.Tensor:
    """The same by FlashAttention-4, which compiles its kernels when they are first called."""
    from flash_attn.cute import flash_attn_varlen_func

    out, _ = flash_attn_varlen_func(
        q,
        k,
        v,
        cu_seqlens_q=bounds,
        cu_seqlens_k=bounds,
        max_seqlen_q=longest,
        max_seqlen_k=longest,
        softmax_scale=scale,
        causal=True,
    )
    return out


def lacking(asked: str) -> str:
    """What `flash_attention_2` or `flash_attention_4` lacks here; empty where it lacks nothing."""
    import torch

    if not torch.cuda.is_available():
        return "there is no GPU here"
    package, oldest = PACKAGES[asked]
    try:
        found = version(package)
    except PackageNotFoundError:
        return f"{package} is not installed here"
    return f"it is {found} here" if Version(found) < Version(oldest) else ""


def has_varlen() -> bool:
    """Whether torch has the kernel that ours needs on a GPU: before 2.11 it knows no window."""
    if importlib.util.find_spec("torch.nn.attention.varlen") is None:
        return False
    return _knows("window_size", "scale")


@cache
def _knows(*options: str) -> bool:
    """Whether torch's kernel takes these options."""
    from torch.nn.attention.varlen import varlen_attn

    return set(options) <= inspect.signature(varlen_attn).parameters.keys()
