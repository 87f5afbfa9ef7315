"""Students: the model, tokenizer and chat template that training and generation share.

Every checkpoint is a Hugging Face folder: weights as safetensors, tokenizer and chat template beside
them, so that `AutoModelForCausalLM.from_pretrained` and `AutoTokenizer` load it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from valley import model_folder, package_file
from valley.errors import UserError
from valley.student_config import TinyStudent
from valley.tiny_student import make_tiny


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
        UserError: it has no chat template, so that prompts cannot be made.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if tokenizer.chat_template is None:
        raise UserError(
            f"{folder}: the tokenizer has no chat template; take an instruct model, or add "
            "`chat_template` to its tokenizer_config.json"
        )
    return tokenizer


def load_model(folder: Path, precision: str, attention: str | None = None) -> Any:
    """The model of a checkpoint in `fp32` or `bf16`, on the CPU.

    Args:
        attention: what transformers calls the implementation; None lets it choose.
    """
    import torch
    from transformers import AutoModelForCausalLM

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, local_files_only=True, attn_implementation=attention
    )


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

    AutoTokenizer.from_pretrained(path, revision=revision).save_pretrained(folder)
    AutoModelForCausalLM.from_pretrained(path, revision=revision, dtype="auto").save_pretrained(
        folder
    )
