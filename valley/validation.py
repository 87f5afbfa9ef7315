"""A value held against a settings class, with the first fault told in one sentence.

Numbers are strict: `true` and `"3"` are none. The rules are those of JSON, where a list stands for a
tuple and a whole number for a float.
"""

from __future__ import annotations

import difflib
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from valley.errors import UserError

Location = tuple[str | int, ...]
M = TypeVar("M", bound=BaseModel)

# Pydantic speaks of JSON's objects and arrays.
_SHAPES = {
    "model_type": "a mapping",
    "dict_type": "a mapping",
    "model_attributes_type": "a mapping",
    "list_type": "a list",
    "tuple_type": "a list",
    "int_parsing": "a valid integer",
}
_BOUNDS = {
    "gt": "greater than",
    "ge": "greater than or equal to",
    "lt": "less than",
    "le": "less than or equal to",
}
_KEYS = ("extra_forbidden", "missing")
"""Faults of keys, not of values."""


def validate(
    model: type[M],
    value: Any,
    at: Callable[[Location], str],
    hint: Callable[[Location, Any], str] = lambda location, found: "",
) -> M:
    """A settings object out of a value that YAML or JSON gave.

    Args:
        at: says where a location in `value` stands: a file, a line, a key.
        hint: what is to be added of what was found at a location, and is no value of it.

    Raises:
        UserError: says where, what was found, and what is allowed.
    """
    try:
        return model.model_validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        raise fault_of(model, error, at, hint) from error


def fault_of(
    model: type[BaseModel],
    error: ValidationError,
    at: Callable[[Location], str],
    hint: Callable[[Location, Any], str] = lambda _location, _found: "",
) -> UserError:
    """The first of the faults that pydantic found, as an error to be raised.

    Args:
        at, hint: as for `validate`.
    """
    faults = error.errors()
    # A misspelt key is also a missing one; the first says more.
    fault = next((f for f in faults if f["type"] == "extra_forbidden"), faults[0])
    location, allowed, field = _locate(model, fault["loc"])
    inside = paths_to(_fields(model), str(location[0])) if len(location) == 1 else []
    said = _say(fault, location, allowed, inside, _bounds(field))
    more = hint(location, fault["input"]) if fault["type"] not in _KEYS else ""
    return UserError(f"{at(location)}: {said}{more}")


def paths_to(sections: Mapping[str, Any], name: str) -> list[str]:
    """The dotted names of the settings that are called so inside sections: the shortest ones.

    Of a section of named ones the name is left open: `generate.profiles.<name>.samples`.

    Args:
        sections: their classes, or annotations of such, by name.
    """
    level = dict(sections)
    while level:
        below: dict[str, Any] = {}
        for path, hint in level.items():
            inside, hint = path, _plain(hint)
            if get_origin(hint) is dict:
                inside, hint = f"{path}.<name>", _plain(get_args(hint)[-1])
            for settings in _classes(hint):
                below |= {f"{inside}.{key}": field for key, field in _fields(settings).items()}
        found = [path for path in below if path.rpartition(".")[2] == name]
        if found:
            return found
        level = below
    return []


def _classes(hint: Any) -> list[type[BaseModel]]:
    """The settings classes that a value of this annotation may be of."""
    options = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return [one for one in options if inspect.isclass(one) and issubclass(one, BaseModel)]


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """A class's fields, as a file names them."""
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _say(fault: Any, location: Location, allowed: list[str], inside: list[str], bounds: str) -> str:
    """What is wrong, in this project's words where pydantic's are not clear.

    Args:
        inside: where a setting of an unknown key's name is to be found.
        bounds: all that hold of a number at its place.
    """
    found, context = fault["input"], fault.get("ctx", {})
    expected = ", ".join(allowed)
    match fault["type"]:
        case "extra_forbidden":
            near = inside or difflib.get_close_matches(str(location[-1]), allowed, n=1)
            meant = f"; did you mean {' or '.join(near)}?" if near else ""
            return f"unknown key{meant} (allowed: {expected})"
        case "missing":
            return "missing; it must be given"
        case "union_tag_invalid":
            return (
                f"{context['discriminator']} found {context['tag']!r}; expected one of {expected}"
            )
        case "union_tag_not_found":
            return f"{context['discriminator']} is missing; expected one of {expected}"
        case "too_short":
            return (
                f"found {context['actual_length']} items; expected {context['min_length']} or more"
            )
        case "value_error":
            return str(context["error"])
    said: str = fault["msg"]
    rest = _SHAPES.get(fault["type"], said.removeprefix("Input should be "))
    shown = "a mapping" if isinstance(found, dict) else repr(found)
    shown = shown if len(shown) <= 80 else f"{shown[:79]}…"
    if rest != said:
        is_bound = rest.startswith(("greater", "less"))
        return f"found {shown}; expected {f'a number {bounds or rest}' if is_bound else rest}"
    return f"found {shown}; {said[0].lower()}{said[1:]}"


def _bounds(field: Any) -> str:
    """The bounds of a number, in pydantic's words."""
    marks = field.metadata if isinstance(field, FieldInfo) else []
    found = [
        f"{words} {getattr(mark, name)}"
        for name, words in _BOUNDS.items()
        for mark in marks
        if hasattr(mark, name)
    ]
    return " and ".join(found)


def _locate(model: type[BaseModel], loc: Sequence[str | int]) -> tuple[Location, list[str], Any]:
    """A fault's keys, without what pydantic puts between them, and the names allowed at its place.

    After a field that may be one of several classes pydantic names the class's tag, which is no key
    (`students.mine.tiny.layers`), and behind a key that is itself at fault, `[key]`.

    Returns:
        The keys; for an unknown key its siblings, for an unknown tag the tags; and the last key's field.
    """
    location: list[str | int] = []
    allowed: list[str] = []
    hint: Any = model
    parts = iter(loc)
    for part in parts:
        if part == "[key]":
            continue
        location.append(part)
        allowed = _keys(hint)
        hint = _inside(hint, part)
        if tagged := _tagged(hint):
            allowed, tag = list(tagged), next(parts, None)
            hint = tagged.get(str(tag))
    return tuple(location), allowed, hint


def _inside(hint: Any, part: str | int) -> Any:
    """The annotation or field of a key or list item; None where there is none."""
    hint = _plain(hint)
    if inspect.isclass(hint) and issubclass(hint, BaseModel):
        fields = hint.model_fields.items()
        return next((field for name, field in fields if part in (name, field.alias)), None)
    arguments = get_args(hint)
    return arguments[-1 if get_origin(hint) is dict else 0] if arguments else None


def _tagged(hint: Any) -> dict[str, Any]:
    """The classes of a discriminated union by their tags; of all else, nothing."""
    marks = get_args(hint)[1:] if get_origin(hint) is Annotated else [hint]
    tag_field = next((m.discriminator for m in marks if isinstance(m, FieldInfo)), None)
    if not isinstance(tag_field, str):
        return {}
    classes = get_args(_plain(hint))
    return {get_args(c.model_fields[tag_field].annotation)[0]: c for c in classes}


def _plain(hint: Any) -> Any:
    """An annotation without its field, `Annotated` and `| None`."""
    if isinstance(hint, FieldInfo):
        return _plain(hint.annotation)
    if get_origin(hint) is Annotated:
        return _plain(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        rest = [a for a in get_args(hint) if a is not type(None)]
        return _plain(rest[0]) if len(rest) == 1 else hint
    return hint


def _keys(hint: Any) -> list[str]:
    hint = _plain(hint)
    if not (inspect.isclass(hint) and issubclass(hint, BaseModel)):
        return []
    return list(_fields(hint))
