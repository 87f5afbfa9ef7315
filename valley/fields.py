"""The fields of a record, as its dataclass declares them, held against what a line of a file gives.

A record that somebody else wrote may hold anything. It is checked once, where it is read (`records.py`):
a wrong value is told with its file, its line and its field, and not hours later by whatever stumbled on
it. The check changes nothing, so that what is valid is written back as it was read (a time limit of 6
stays 6, and does not become 6.0). It takes a microsecond a record, and a third of one for each test.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import MISSING, fields
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from valley.validation import Location, fault_of


def check_fields(where: str, record_type: Any, values: Mapping[str, Any]) -> None:
    """See that no required field is missing, and that each value is of its field's type.

    Args:
        record_type: a dataclass.

    Raises:
        UserError: says where, which field, what was found, and what is allowed.
    """
    form = _form(record_type)
    try:
        form.__pydantic_validator__.validate_python(values, strict=True)
    except ValidationError as error:
        raise fault_of(form, error, lambda field: f"{where}: {_named(field)}") from None


@functools.cache
def _form(record_type: Any) -> type[BaseModel]:
    """The dataclass as what pydantic checks by. What stands in for a default is never looked at."""
    hints = get_type_hints(record_type, include_extras=True)
    declared: dict[str, Any] = {}
    for field in fields(record_type):
        required = field.default is MISSING and field.default_factory is MISSING
        declared[field.name] = hints[field.name], ... if required else None
    config = ConfigDict(protected_namespaces=())
    return create_model(record_type.__name__, __config__=config, **declared)


def _named(location: Location) -> str:
    """A place in a record, such as `tests[0].input`."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return "".join(parts).removeprefix(".")
