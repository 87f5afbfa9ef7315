"""Operators: what DeepSpeed compiles at its first use is compiled once for all that share a root.

Left to itself each process compiles into its home folder, or waits there for a lock file, which a process
that is killed leaves behind: all later ones then wait for ever. Here one process compiles, in a temporary
folder of its own, while the others wait for it (`valley.once`), and puts the library into the root's
cache. The others load it from there, and need neither compiler nor ninja. A library is good for the
processor, the interpreter and the versions that it was compiled for, which its name tells.

Only the optimizer of `train.offload: cpu` needs one: all else uses torch's own.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from valley.disk import sync
from valley.errors import UserError
from valley.once import once
from valley.records import digest

logger = logging.getLogger(__name__)

DIRECTORY = "TORCH_EXTENSIONS_DIR"


def load_cpu_adam(cache: Path | None = None) -> None:
    """Have DeepSpeed's CPU Adam ready in this process, compiled by it or by another.

    Args:
        cache: the folder of the compiled ones; None leaves all to DeepSpeed.

    Raises:
        UserError: it is not there, and cannot be compiled here.
    """
    from deepspeed.git_version_info import installed_ops
    from deepspeed.ops.op_builder import CPUAdamBuilder

    builder = CPUAdamBuilder()
    loaded: dict[str, Any] = builder._loaded_ops
    try:
        if cache is None or builder.name in loaded or installed_ops.get(builder.name):
            builder.load(verbose=False)
            return
        cache.mkdir(parents=True, exist_ok=True)
        library = cache / f"{builder.name}-{_machine()}.so"
        once(
            library.with_suffix(".claim"),
            lambda: library if library.is_file() else None,
            lambda _: _compiled(builder, library),
        )
        if builder.name not in loaded:
            loaded[builder.name] = _module(builder.name, library)
    except Exception as error:  # of many kinds, by what the machine lacks
        raise UserError(
            "train.offload: cpu needs DeepSpeed's CPU Adam, which could not be compiled here "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__}); install a C++ "
            "compiler and ninja, or build it beforehand (DS_BUILD_CPU_ADAM=1 pip install deepspeed), "
            "or set train.offload: none"
        ) from error


def _compiled(builder: Any, library: Path) -> Path:
    """Compile and load an operator, and put it into the cache."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="valley-operators-") as folder:
        with _compiling_in(folder):
            builder.load(verbose=False)
        draft = library.with_name(f".{library.name}.{platform.node()}.{os.getpid()}")
        shutil.copyfile(Path(folder) / builder.name / f"{builder.name}.so", draft)
    sync(draft)
    draft.replace(library)
    logger.info(
        "compiled %s in %.0f s, for all jobs of this root", library, time.monotonic() - began
    )
    return library


@contextmanager
def _compiling_in(folder: str) -> Iterator[None]:
    before = os.environ.get(DIRECTORY)
    os.environ[DIRECTORY] = folder
    try:
        yield
    finally:
        del os.environ[DIRECTORY]
        if before is not None:
            os.environ[DIRECTORY] = before


def _module(name: str, library: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, library)
    if spec is None or spec.loader is None:
        raise ImportError(f"{library} is no module of Python")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _machine() -> str:
    """What a compiled library depends on: it is made for the very processor that compiles it."""
    import deepspeed
    import torch

    processor = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").split("\n\n")[0]
    told = [
        line for line in processor.splitlines() if line.startswith(("model name", "flags", "Feat"))
    ]
    accelerator = deepspeed.get_accelerator().device_name()
    versions = [deepspeed.__version__, torch.__version__, platform.python_version(), accelerator]
    return digest([platform.machine(), *told, *versions])[:16]
