"""What every test may use."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent
# Scripts are run by path and are not installed; their tests import them as their users' Python does.
sys.path[:0] = [str(REPOSITORY / part) for part in ("sweeps", "analysis", "tests")]


@pytest.fixture
def spaced(tmp_path: Path) -> Path:
    """A temporary folder with a space in its name, since users have such folders."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    return folder
