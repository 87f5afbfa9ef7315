"""The mark of tests with the real model and problems, which are left out where these are not installed."""

from importlib.util import find_spec

import pytest


def needs_packages(*packages):
    """Marks for a module's `pytestmark`."""
    missing = [name for name in packages if not find_spec(name)]
    return [
        pytest.mark.real,
        pytest.mark.skipif(
            bool(missing),
            reason=f"the real model or problems are not installed ({', '.join(missing)}): "
            "`make real` installs them",
        ),
    ]
