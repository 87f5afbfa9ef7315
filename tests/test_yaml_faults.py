from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valley.errors import UserError
from valley.yaml_faults import dotted, read_yaml, write_yaml


def read(text):
    return read_yaml(text, "grid.yaml").value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("2E3", 2e3),
        ("-1.5e+2", -150.0),
        (".5e1", 5.0),
        ("1.0e-4", 1e-4),
        ("1e-4x", "1e-4x"),
        ("e4", "e4"),
        ("2024-01-01", "2024-01-01"),
        ("8_192", 8192),
        ("", None),
        ("{a: [1, true, null, x]}", {"a": [1, True, None, "x"]}),
    ],
)
def test_scalars(text, value):
    found = read(text)
    assert found == value and type(found) is type(value)


def test_a_merge_may_be_overridden_and_lines_are_the_key_s_own():
    text = "base: &b {x: 1, y: 2}\nall:\n  <<: *b\n  y: 3\ntop: {<<: *b}\n"
    document = read_yaml(text, "grid.yaml")
    assert document.value["all"] == {"x": 1, "y": 3} and document.value["top"] == {"x": 1, "y": 2}
    assert document.line_of(("all", "y")) == 4
    assert document.line_of(("all", "x")) == 1


def test_the_line_of_what_is_not_there_is_its_parent_s():
    document = read_yaml("a:\n  - b: 1\n  -\n    c: 2\n", "grid.yaml")
    assert document.line_of(("a", 1, "c")) == 4
    assert document.line_of(("a", 1, "d")) == 4  # the item begins there
    assert document.line_of(("a", 0, "b", "deeper")) == 2
    assert document.line_of(("a", 7)) == 1
    assert document.line_of(("z",)) is None


def test_locations_are_written_as_a_person_would():
    value = {"grid": [{"size": [1]}], "stages": {2: {"from": {}}}}
    assert dotted(value, ("grid", 0, "size")) == "grid[0].size"
    assert dotted(value, ("grid", 0, "size", 0)) == "grid[0].size[0]"
    assert dotted(value, ("stages", "2", "from", "size")) == "stages.2.from.size"


BAD = {
    "twin": (
        "a: 1\nb: 2\na: 3\n",
        "grid.yaml, line 3: 'a' stands there twice, first on line 1; keep",
    ),
    "twin in a block": ("grid:\n  - {size: 1, size: 2}\n", "line 2: 'size' stands there twice"),
    "twin in a list in a list": ("- - {x: 1, x: 1}\n", "line 1: 'x' stands there twice"),
    "twin of a number and its text": ("{1: a, '1': b}", "line 1: '1' stands there twice"),
    "infinity": ("a: {b: [1, .inf]}\n", r"line 1: a\.b\[1\]: found inf; expected a finite number"),
    "not-a-number": ("a: .nan\n", "a: found nan; expected a finite number"),
    "too large a number": ("a: 1e999\n", "a: found inf; expected a finite number"),
    "a tagged date": ("a: !!timestamp 2024-01-01\n", "a: found a date; expected text"),
    "bytes": ("a: !!binary aGk=\n", "a: found a bytes; expected text"),
    "a set": ("a: !!set {x}\n", "a: found a set; expected text"),
    "an object": ("a: !!python/object:os.system {}\n", "line 1: not YAML: could not determine"),
    "a list that holds itself": ("a: &x [*x]\n", "a.*: found a list or mapping that holds itself"),
    "a list as a key": ("? [1]\n: 2\n", "line 1: found a list or mapping as a key"),
    "a key that is no text": (
        "a: {on: 1}\n",
        "line 1: a: found the key True; expected text, in quotes",
    ),
    "no YAML": ("a: [1\nb: 2\n", r"grid\.yaml, line \d: not YAML: .*(expected|did not find)"),
    "a tab": ("a:\n\tb: 1\n", "line 2: not YAML: found a tab .*; indent with spaces"),
    "a control character": ("a: \x01\n", "not YAML: .*control characters|special characters"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD.keys())
def test_faults_are_told_in_one_line(text, message):
    with pytest.raises(UserError, match=message) as fault:
        read(text)
    assert str(fault.value).startswith("grid.yaml") and "\n" not in str(fault.value)


@settings(deadline=None)
@given(st.text(alphabet="ab:{}[],-&*!? \n\t'\"|>#1.", max_size=40))
def test_no_text_ends_in_anything_but_a_value_or_a_fault(text):
    try:
        read(text)
    except UserError as fault:
        assert "\n" not in str(fault)


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.sampled_from(["12e4567", "2024-01-01", "on", "~", "1e-4", "0x1f", "1_000"]),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc.-"), inner),
    max_leaves=8,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("abc"), values))
def test_what_is_written_reads_back(value):
    assert read_yaml(write_yaml(value), "x").value == value
