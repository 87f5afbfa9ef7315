"""The JSON Schema of grid files, for editors: the settings' own schemas, and the grammar of `grid`.

It is a help in writing. What it lets through may still be refused by a launch, which knows the students
and stages of a grid, and what its settings ask of one another.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from pydantic.json_schema import models_json_schema

from valley.axes import CORRECTNESSES, DIFFICULTIES, MATCHING, STEPS
from valley.data.chat import ChatConfig
from valley.data.config import CorpusConfig, JsonlConfig, PackagesConfig, TinyConfig
from valley.evaluate.config import GradeConfig
from valley.evaluate.profiles import GenerateConfig
from valley.sweep import Sweep
from valley.train.config import TrainConfig

DIALECT = "https://json-schema.org/draft/2020-12/schema"
MODELS = (
    *(Sweep, ChatConfig, TrainConfig, GenerateConfig, GradeConfig),
    *(TinyConfig, PackagesConfig, JsonlConfig, CorpusConfig),
)
SECTIONS = {
    "data": ("TinyConfig", "PackagesConfig", "JsonlConfig", "CorpusConfig"),
    "chat": ("ChatConfig",),
    "train": ("TrainConfig",),
    "generate": ("GenerateConfig",),
    "grade": ("GradeConfig",),
}
NESTED = "^(data|generate)\\.[^.]+\\..+"
"""Settings inside a setting, such as `generate.profiles.greedy.samples`."""
RANGE = {
    "type": "object",
    "description": "Whole numbers from the first to the second, which is excluded, by the third.",
    "properties": {
        "range": {
            "type": "array",
            "items": {"type": "integer"},
            "minItems": 2,
            "maxItems": 3,
        }
    },
    "required": ["range"],
    "additionalProperties": False,
}
DERIVED = {
    "type": "object",
    "description": "As many optimizer steps as this size gets by the cell's own epochs and batch.",
    "properties": {MATCHING: {"type": "integer", "minimum": 1}},
    "required": [MATCHING],
    "additionalProperties": False,
}


def schema_text() -> str:
    """The schema as `docs/grid.schema.json` holds it."""
    return json.dumps(grid_schema(), indent=1, ensure_ascii=False) + "\n"


def grid_schema() -> dict[str, Any]:
    """A schema of draft 2020-12."""
    _, collected = models_json_schema([(model, "validation") for model in MODELS], by_alias=True)
    definitions = collected["$defs"]
    sweep = definitions.pop("Sweep")
    settings = _settings(definitions)
    axes = _named_axes() | {name: value for name, value in settings.items() if not _is_run(name)}
    for name, value in (settings | axes).items():
        definitions[name] = value
        definitions[f"{name}[]"] = {"anyOf": _lists({"$ref": f"#/$defs/{name}"})}
    definitions["range"] = RANGE
    definitions["block"] = _block(list(axes))
    definitions["When"]["properties"] = {
        "if": _mapping(_values(axes), {}, minProperties=1),
        "set": _mapping(
            {name: {"$ref": f"#/$defs/{name}"} for name in settings}, {}, minProperties=1
        ),
    }
    sweep["properties"]["grid"]["items"] = {"$ref": "#/$defs/block"}
    # `stages` goes by numbers, and JSON's keys are text.
    sweep["properties"]["stages"]["propertyNames"] = {"pattern": "^[0-9]+$"}
    return {"$schema": DIALECT, **sweep, "title": "A grid of valley", "$defs": definitions}


def _settings(definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of each dotted setting; of what several sources have, any of theirs."""
    found: dict[str, list[Any]] = {}
    for section, models in SECTIONS.items():
        for model in models:
            for name, schema in definitions[model]["properties"].items():
                plain = {k: v for k, v in schema.items() if k not in ("default", "title")}
                if plain not in (seen := found.setdefault(f"{section}.{name}", [])):
                    seen.append(plain)
    one = {name: seen[0] if len(seen) == 1 else {"anyOf": seen} for name, seen in found.items()}
    return {**one, STEPS: {"anyOf": [one[STEPS], DERIVED]}}


def _is_run(name: str) -> bool:
    section, _, field = name.partition(".")
    return section == "train" and field in TrainConfig.EXECUTION_FIELDS


def _named_axes() -> dict[str, Any]:
    number = {"type": "integer", "minimum": 0}
    return {
        "student": {"type": "string"},
        "stage": number,
        "size": {**number, "description": "Number of traces; 0 is the baseline."},
        "difficulty": {"enum": list(DIFFICULTIES)},
        "correctness": {"enum": list(CORRECTNESSES)},
        "seed": number,
    }


def _block(axes: list[str]) -> dict[str, Any]:
    any_lists = {"anyOf": _lists({})}
    zipped = _mapping(
        {name: {"$ref": f"#/$defs/{name}[]"} for name in axes}, any_lists, minProperties=2
    )
    excluded = _mapping({**_values(axes), "reason": {"type": "string"}}, {}, minProperties=1)
    points = _mapping({name: {"$ref": f"#/$defs/{name}"} for name in axes}, {}, minProperties=1)
    block = {
        **_values(axes),
        "zip": {"anyOf": [zipped, {"type": "array", "items": zipped}]},
        "exclude": {"type": "array", "items": excluded},
        "include": {"type": "array", "items": points},
    }
    return {
        **_mapping(block, {}),
        "description": "The product of its lists; axes that move together under `zip`; points left "
        "out by `exclude` and added by `include`.",
    }


def _values(axes: Iterable[str]) -> dict[str, Any]:
    """By axis: a value, a list of them or a range."""
    return {name: {"anyOf": _refs(name, f"{name}[]")} for name in axes}


def _refs(*names: str) -> list[dict[str, Any]]:
    return [{"$ref": f"#/$defs/{name}"} for name in names]


def _lists(value: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": "array", "items": value, "minItems": 1}, *_refs("range")]


def _mapping(properties: dict[str, Any], nested: dict[str, Any], **more: int) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "patternProperties": {NESTED: nested},
        "additionalProperties": False,
        **more,
    }
