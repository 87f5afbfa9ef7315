from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import yaml

from valley.grid_schema import schema_text

REPOSITORY = Path(__file__).parent.parent
SHIPPED = sorted(path.name for path in (REPOSITORY / "sweeps").glob("*.yaml"))
FILE = REPOSITORY / "docs" / "grid.schema.json"


@pytest.fixture(scope="module")
def validator():
    jsonschema = pytest.importorskip("jsonschema", reason="`pip install jsonschema`")
    schema = json.loads(FILE.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def as_json(text):
    """What an editor sees of YAML: the keys of `stages` are text."""
    return json.loads(json.dumps(yaml.safe_load(text)))


def test_the_file_is_up_to_date():
    """Otherwise: python sweeps/launch.py --schema > docs/grid.schema.json"""
    assert FILE.read_text() == schema_text()


@pytest.mark.parametrize("name", SHIPPED)
def test_the_grids_that_ship_are_valid(validator, name):
    text = (REPOSITORY / "sweeps" / name).read_text()
    assert list(validator.iter_errors(as_json(text))) == []
    first = text.partition("\n")[0]
    named = first.removeprefix("# yaml-language-server: $schema=")
    assert (REPOSITORY / "sweeps" / named).resolve() == FILE


GRID = {
    "name": "test",
    "students": {"tiny": {"source": "tiny"}},
    "data": {"source": "tiny"},
    "stages": {"1": {}, "2": {"from": {"size": 8}}},
    "grid": [{"size": 8}],
}
BLOCKS = [
    {"size": [0, 8], "seed": {"range": [0, 3]}, "train.learning_rate": [1e-4, 2e-4]},
    {"zip": {"size": [8, 16], "train.batch_size": [8, 16]}, "stage": 2},
    {"zip": [{"size": [8], "seed": {"range": [0, 1]}}, {"stage": [1], "difficulty": ["easy"]}]},
    {"size": 8, "exclude": [{"size": [8, 9], "difficulty": "easy", "reason": "too few"}]},
    {"include": [{"size": 8, "train.steps": {"matching_size": 30}}]},
    {"size": 8, "train.steps": [None, 5, {"matching_size": 30}]},
    {"size": 8, "generate.profiles.greedy.samples": [1, 4], "data.modulus": 7, "grade.k": [[1, 2]]},
]


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_the_grammar_of_blocks_is_let_through(validator, block):
    assert list(validator.iter_errors({**GRID, "grid": [block]})) == []


def test_conditions_are_let_through(validator):
    when = [{"if": {"size": {"range": [1, 9]}}, "set": {"train.zero_stage": 2, "train.epochs": 3}}]
    assert list(validator.iter_errors({**GRID, "when": when})) == []


WRONG = {
    "unknown key": (("trian",), {}),
    "unknown key of a section": (("train", "epocs"), 3),
    "unknown key of a student": (("students", "tiny", "layer"), 3),
    "wrong type": (("generate", "batch_size"), "many"),
    "out of bounds": (("generate", "batch_size"), 0),
    "unknown key of a cluster": (("cluster", "partion"), "gpu"),
    "stage that is no number": (("stages", "first"), {}),
    "unknown axis": (("grid", 0, "sise"), 3),
    "unknown setting as axis": (("grid", 0, "train.epocs"), 3),
    "what changes no result as axis": (("grid", 0, "train.zero_stage"), 3),
    "bad value of an axis": (("grid", 0, "difficulty"), ["easy", "simple"]),
    "bad value of a setting as axis": (("grid", 0, "train.epochs"), [1, -3]),
    "empty axis": (("grid", 0, "seed"), []),
    "bad range": (("grid", 0, "seed"), {"range": [1]}),
    "zip of single values": (("grid", 0, "zip"), {"stage": 1, "seed": 2}),
    "zip of one axis": (("grid", 0, "zip"), {"seed": [2]}),
    "unknown axis in a zip": (("grid", 0, "zip"), {"stage": [1], "sead": [2]}),
    "exclude that is no list": (("grid", 0, "exclude"), {"size": 8}),
    "unknown axis in an exclude": (("grid", 0, "exclude"), [{"sise": 8}]),
    "reason that is no text": (("grid", 0, "exclude"), [{"size": 8, "reason": 3}]),
    "list in an include": (("grid", 0, "include"), [{"size": [8, 9]}]),
    "size of nothing to match": (("grid", 0, "train.steps"), {"matching_size": 0}),
    "condition without settings": (("when",), [{"if": {"size": 8}}]),
    "axis as a setting": (("when",), [{"if": {"size": 8}, "set": {"seed": 1}}]),
    "bad setting": (("when",), [{"if": {"size": 8}, "set": {"train.epochs": -1}}]),
}


@pytest.mark.parametrize("place, value", WRONG.values(), ids=WRONG.keys())
def test_what_is_wrong_is_refused(validator, place, value):
    grid = copy.deepcopy(GRID)
    target = grid
    for part in place[:-1]:
        target = target[part] if isinstance(target, list) else target.setdefault(part, {})
    target[place[-1]] = value
    assert list(validator.iter_errors(grid))
