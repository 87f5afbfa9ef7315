"""A commit of a repository on the hub, as settings name what must not move."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

COMMIT = re.compile(r"[0-9a-f]{40}")


def _checked(text: str) -> str:
    if not COMMIT.fullmatch(text):
        raise ValueError(
            f"found {text!r}; expected a commit, all 40 digits (0 to 9, a to f) that its page in the hub's "
            "history shows: a branch such as main, or a tag, can move"
        )
    return text


Commit = Annotated[
    str, Field(json_schema_extra={"pattern": f"^{COMMIT.pattern}$"}), AfterValidator(_checked)
]
