"""Students: the model, tokenizer and chat template that training and generation share.

Every checkpoint is a Hugging Face folder: weights as safetensors, tokenizer and chat template beside
them, so that `AutoModelForCausalLM.from_pretrained` and `AutoTokenizer` load it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from valley import model_folder, package_file
from valley.data.chat import ChatConfig
from valley.data.render import Chat
from valley.errors import UserError
from valley.student_config import TinyStudent
from valley.tiny_student import make_tiny

logger = logging.getLogger(__name__)

SAID_LENGTH = 300


def prepare_student(
    semantic: dict[str, Any],
    execution: dict[str, Any],
    vocabulary_texts: list[str],
    folder: Path,
) -> None:
    """Write a student's initial checkpoint into `folder`.

    Args:
        semantic: what the student's `semantic()` said when the job was planned.
        execution: what its `execution()` said.
        vocabulary_texts: texts whose words a tiny student must know; others ignore it.

    Raises:
        UserError: the folder or package is missing, or is another than when the job was planned.
    """
    match semantic:
        case {"source": "tiny"}:
            make_tiny(TinyStudent.model_validate(semantic), vocabulary_texts, folder)
        case {"package": package, "file": file}:
            _refuse_changes(package, semantic, {**semantic, **package_file.content(package, file)})
            _convert_gguf(package_file.find(package, file), folder)
        case {"hub_id": hub_id, "revision": revision}:
            _copy_folder(hub_id, revision, folder)
        case {"files": files}:
            source = execution["path"]
            _refuse_changes(source, files, model_folder.content(source))
            _copy_folder(source, None, folder)
            # Loading takes a minute, in which somebody may put another checkpoint there.
            _refuse_changes(source, files, model_folder.content(source))


def _refuse_changes(what: str, planned: dict[str, Any], found: dict[str, Any]) -> None:
    changed = [n for n in sorted({*planned, *found}) if planned.get(n) != found.get(n)]
    if changed:
        raise UserError(
            f"student {what}: {', '.join(changed[:3])}{', …' if changed[3:] else ''} changed since "
            "the job was planned; launch the sweep again"
        )


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a checkpoint.

    Raises:
        UserError: it cannot be read, or has no chat template, so that prompts cannot be made.
    """
    from transformers import AutoTokenizer

    with _loading(folder):
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    _check_template(folder, tokenizer)
    return tokenizer


def load_model(folder: Path, precision: str, attention: str | None = None) -> Any:
    """The model of a checkpoint in `fp32` or `bf16`, on the CPU.

    Args:
        attention: what transformers calls the implementation; None lets it choose.

    Raises:
        UserError: it cannot be loaded.
    """
    import torch
    from transformers import AutoModelForCausalLM

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    with _loading(folder):
        return AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, local_files_only=True, attn_implementation=attention
        )


def positions(folder: Path) -> int | None:
    """The most tokens that a checkpoint says it was made for; None where it does not say.

    Where its config scales rotary positions (YaRN and the like), that is what they are scaled to.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    told = config.get("max_position_embeddings")
    if not isinstance(told, int):
        return None
    scaling = config.get("rope_parameters") or config.get("rope_scaling") or {}
    factor = scaling.get("factor")
    original = scaling.get("original_max_position_embeddings")
    if isinstance(factor, int | float) and isinstance(original, int):
        return max(told, int(factor * original))
    return told


def _convert_gguf(file: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    model = AutoModelForCausalLM.from_pretrained(
        file.parent,
        gguf_file=file.name,
        dtype="bfloat16",
        # Without this the quantizer stays attached and save_pretrained refuses.
        quantization_config=GgufConfig(dequantize=True),
    )
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


def _copy_folder(path: str, revision: str | None, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    with _loading(path):
        tokenizer = AutoTokenizer.from_pretrained(path, revision=revision)
        model, told = AutoModelForCausalLM.from_pretrained(
            path, revision=revision, dtype="auto", output_loading_info=True
        )
    _check_template(path, tokenizer)
    _check_weights(path, model.get_input_embeddings().weight, told["missing_keys"], tokenizer)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)


def _check_template(where: str | Path, tokenizer: Any) -> None:
    if tokenizer.chat_template is None:
        raise UserError(
            f"{where}: the tokenizer has no chat template; take an instruct model, or add "
            "`chat_template` to its tokenizer_config.json"
        )


def _check_weights(where: str, embedding: Any, missing: Iterable[str], tokenizer: Any) -> None:
    """Refuse a student that would be made up in part, or does not know its tokenizer's tokens."""
    if names := sorted(missing):
        raise UserError(
            f"student {where}: there are no weights for {len(names)} tensors that its config.json "
            f"describes, which would be random ({', '.join(names[:3])}{', …' if names[3:] else ''}); "
            "give a causal language model with all of its weights"
        )
    if unknown := _reached_beyond(len(embedding), tokenizer):
        raise UserError(
            f"student {where}: its tokenizer has {len(tokenizer)} tokens, and its weights know "
            f"{len(embedding)} (not {', '.join(unknown[:3])}{', …' if unknown[3:] else ''}); "
            "give the tokenizer that belongs to it, or resize its embeddings"
        )


def _reached_beyond(rows: int, tokenizer: Any) -> list[str]:
    """The tokens beyond an embedding's rows that a training or an answer may need.

    Gemma 3's text models have a control token for images there, which no chat of text holds.
    """
    beyond = {i: token for token, i in tokenizer.get_vocab().items() if i >= rows}
    if not beyond:
        return []
    special = {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    needed = {tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id}
    for config in (ChatConfig(), ChatConfig(system="Answer.")):
        with suppress(UserError):  # a template without system messages; others are refused in use
            needed.update(
                Chat(tokenizer, config).documents([("A question.", "An answer.")])[0].tokens
            )
    return [token for i, token in sorted(beyond.items()) if i not in special or i in needed]


@contextmanager
def _loading(where: str | Path) -> Iterator[None]:
    """Say of a checkpoint that cannot be loaded which it is."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:  # of many kinds, by what is wrong with it
        if isinstance(error, RuntimeError) and "memory" in str(error):  # torch's, out of it
            raise
        if not isinstance(error, OSError | ValueError | KeyError):
            logger.info("%s: what loading it raised", where, exc_info=error)
        import transformers

        said = " ".join(str(error).split())[:SAID_LENGTH]
        raise UserError(
            f"{where}: transformers {transformers.__version__} cannot load this checkpoint "
            f"({type(error).__name__}: {said}); give a complete folder in Hugging Face format of a "
            "causal language model that this version knows"
        ) from error
