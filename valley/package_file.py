"""A file inside an installed Python package, which is looked for and never imported."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from valley.errors import UserError


def find(package: str, file: str) -> Path:
    """The path of a file inside an installed package, which is not imported.

    Args:
        package: the import name of a whole package, not of one inside another.

    Raises:
        UserError: the package is not installed or lacks the file.
    """
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            f"package: {package!r} is not installed; "
            "`make real` installs what sweeps/smollm2.yaml needs"
        )
    for location in spec.submodule_search_locations:
        if (path := Path(location) / file).is_file():
            return path
    raise UserError(f"file: the package {package!r} holds no file {file!r}")


def content(package: str, file: str) -> dict[str, Any]:
    """What tells the file from another: the package's release, and its size.

    Raises:
        UserError: as `find` does.
    """
    # Takes as long to import as a launch takes to read its grid, and few students need it.
    from importlib import metadata

    size_bytes = find(package, file).stat().st_size
    releases = metadata.packages_distributions().get(package, [])
    versions = sorted({f"{name} {metadata.version(name)}" for name in releases})
    return {"release": ", ".join(versions), "size_bytes": size_bytes}
