from __future__ import annotations

import pytest

from valley.errors import UserError
from valley.evaluate.backends import installed


@pytest.mark.parametrize(
    ("found", "new_enough"),
    [("0.20.0", True), ("1.0.dev3+cpu", True), ("0.20.0rc1", False), ("0.9.2", False)],
)
def test_versions_are_ordered_as_packages_are(monkeypatch, found, new_enough):
    monkeypatch.setattr(installed, "version", lambda name: found)
    if new_enough:
        assert installed.check_installed("vllm") == found
    else:
        with pytest.raises(UserError, match=f"vllm is {found} in .* must be 0.20 or newer"):
            installed.check_installed("vllm")
