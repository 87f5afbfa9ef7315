"""Faults of a YAML file, told in one sentence: where, what was found, what is allowed."""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import ValidationError

# The C loader reads large grids ten times faster; it is not in every build of PyYAML.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def explain(error: ValidationError, where: str, text: str = "") -> str:
    """The first fault of a validation, as: where, what was found, what is allowed."""
    fault = error.errors()[0]
    location = [part for part in fault["loc"] if part not in ("tiny", "package", "folder", "jsonl")]
    key = ".".join(str(part) for part in location)
    line = _line_of(text, location)
    place = f"{where}, line {line}" if line else where
    found = f" (found {fault['input']!r})" if not isinstance(fault["input"], dict) else ""
    message = fault["msg"]
    if fault["type"] == "extra_forbidden":
        message, found = "unknown key", ""
    return f"{place}: {key}: {message[0].lower()}{message[1:]}{found}"


def _line_of(text: str, location: list[Any]) -> int | None:
    """The line, from 1, of a key in a YAML text; of its nearest parent where it is not there."""
    if not text:
        return None
    node = yaml.compose(text, Loader=LOADER)
    line = None
    for part in location:
        if isinstance(node, yaml.MappingNode):
            for key_node, value_node in node.value:
                if key_node.value == str(part):
                    line, node = key_node.start_mark.line + 1, value_node
                    break
            else:
                return line
        elif (
            isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value)
        ):
            node = node.value[part]
            line = node.start_mark.line + 1
    return line
