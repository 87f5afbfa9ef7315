"""YAML read with its faults told: one sentence that names the line, what was found, what is allowed.

PyYAML follows YAML 1.1, in which `1e-4` is text and `2024-01-01` a date; here, as in YAML 1.2, they are
a number and text. What YAML allows and a setting cannot be is refused: a key that stands twice (PyYAML
would take the last), infinity and not-a-number, lists that hold themselves, tagged objects.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import yaml

from valley.errors import UserError

# The C loader reads large grids ten times faster; it is not in every build of PyYAML.
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DATE = "tag:yaml.org,2002:timestamp"


class _Loader(_BASE):  # type: ignore[misc]
    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _DATE]
        for first, resolvers in _BASE.yaml_implicit_resolvers.items()
    }


class _Dumper(yaml.SafeDumper):
    """Quotes what the loader above would not read as text."""


for _class in (_Loader, _Dumper):
    _class.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"),
        list("-+.0123456789"),
    )


@dataclass(frozen=True)
class Yaml:
    """A YAML text's value, and where its keys stand."""

    value: Any
    node: yaml.Node | None

    def line_of(self, location: Sequence[str | int]) -> int | None:
        """The line, from 1, of a key; of its nearest parent where it is not there.

        Args:
            location: keys and list indices from the top.
        """
        node, line = self.node, None
        for part in location:
            match node:
                case yaml.MappingNode():
                    # The last: what a merge (`<<`) brings stands before a mapping's own keys.
                    pair = next((p for p in reversed(node.value) if p[0].value == str(part)), None)
                    if pair is None:
                        return line
                    line, node = pair[0].start_mark.line + 1, pair[1]
                case yaml.SequenceNode() if isinstance(part, int) and part < len(node.value):
                    node = node.value[part]
                    line = node.start_mark.line + 1
                case _:
                    return line
        return line


def write_yaml(value: Any) -> str:
    """A YAML text that `read_yaml` reads as this value."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)


def read_yaml(text: str, called: str, *, lined: bool = True) -> Yaml:
    """Read a YAML text of mappings, lists, text, finite numbers, booleans and nulls.

    Args:
        called: what the text is, for messages: a file's path.
        lined: whether it has lines that messages may name: a value on a command line has none.

    Raises:
        UserError: names the line and what is wrong there.
    """
    where = _Where(called, lined)
    loader = None
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is not None:
            _refuse_twins(node, where, set())
        document = Yaml(loader.construct_document(node) if node is not None else None, node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        said = " ".join(filter(None, (error.context, error.problem)))
        if mark is not None and _is_tab(text, mark.index):
            said = "found a tab where YAML takes spaces; indent with spaces"
        line = mark.line + 1 if mark is not None else None
        raise UserError(f"{where.line(line)}: not YAML: {said}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{called}: not YAML: {' '.join(str(error).split())}") from error
    finally:
        if loader is not None:
            loader.dispose()
    _refuse_values(document, document.value, [], where, [])
    return document


@dataclass(frozen=True)
class _Where:
    """What a text is, and whether its lines mean anything to its reader."""

    called: str
    lined: bool

    def line(self, number: int | None) -> str:
        return f"{self.called}, line {number}" if number and self.lined else self.called


def _is_tab(text: str, index: int) -> bool:
    return text[index : index + 1] == "\t"


def dotted(value: Any, location: Sequence[str | int]) -> str:
    """A location as a person writes it: `grid[0].size`."""
    text = ""
    for part in location:
        inside_list = isinstance(value, list)
        text += f"[{part}]" if inside_list else f".{part}"
        match value:
            case dict():
                value = next((v for k, v in value.items() if str(k) == str(part)), None)
            case list() if isinstance(part, int) and part < len(value):
                value = value[part]
            case _:
                value = None
    return text.removeprefix(".")


def _refuse_twins(node: yaml.Node, where: _Where, seen: set[int]) -> None:
    """Refuse a key that stands twice in one mapping, or is no scalar."""
    if id(node) in seen:
        return
    seen.add(id(node))
    match node:
        case yaml.MappingNode():
            lines: dict[str, int] = {}
            for key, value in node.value:
                line = key.start_mark.line + 1
                if not isinstance(key, yaml.ScalarNode):
                    raise UserError(f"{where.line(line)}: found a list or mapping as a key")
                if key.value in lines:
                    first = f", first on line {lines[key.value]}" if where.lined else ""
                    raise UserError(
                        f"{where.line(line)}: {key.value!r} stands there twice{first}; keep one"
                    )
                lines[key.value] = line
                _refuse_twins(value, where, seen)
        case yaml.SequenceNode():
            for value in node.value:
                _refuse_twins(value, where, seen)


def _refuse_values(
    document: Yaml, value: Any, location: list[str | int], where: _Where, around: list[int]
) -> None:
    """Refuse what has no JSON form."""

    def refuse(found: str) -> UserError:
        place = where.line(document.line_of(location))
        key = dotted(document.value, location)
        return UserError(f"{place}: {key}: found {found}" if key else f"{place}: found {found}")

    if id(value) in around:
        raise refuse("a list or mapping that holds itself")
    match value:
        case dict():
            for key, inner in value.items():
                # `on`, `yes` and `null` are no text in YAML.
                if not isinstance(key, str) and type(key) is not int:
                    raise refuse(f"the key {key!r}; expected text, in quotes if need be")
                _refuse_values(document, inner, [*location, key], where, [*around, id(value)])
        case list():
            for index, inner in enumerate(value):
                _refuse_values(document, inner, [*location, index], where, [*around, id(value)])
        case float() if not math.isfinite(value):
            raise refuse(f"{value}; expected a finite number")
        case str() | bool() | int() | float() | None:
            pass
        case _:
            raise refuse(
                f"a {type(value).__name__}; expected text, a number, a boolean, a list or a mapping"
            )
