from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from valley.errors import UserError
from valley.validation import validate


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Red(Strict):
    kind: Literal["red"] = "red"
    shade: float = 1.0
    red: int = 0

    @field_validator("shade")
    @classmethod
    def _in_range(cls, shade):
        if shade > 9:
            raise ValueError("too dark")
        return shade


class Blue(Strict):
    kind: Literal["blue"]
    inner: Red | None = None


Colour = Annotated[Red | Blue, Field(discriminator="kind")]


class Top(Strict):
    one: Colour = Red()
    many: dict[str, Colour] = {}
    row: list[Colour] = []
    count: int = Field(1, ge=1)
    flag: bool = False
    share: float | None = Field(None, gt=0, le=1)
    pair: tuple[float, float] = (0, 1)
    numbered: dict[int, Red] = {}
    start: Red | None = Field(None, alias="from")


def fault(value):
    with pytest.raises(UserError) as raised:
        validate(Top, value, lambda location: ".".join(map(str, location)))
    return str(raised.value)


def test_json_s_rules_hold():
    top = validate(Top, {"pair": [1, 2.5], "numbered": {3: {}}, "one": {"kind": "red"}}, str)
    assert top.pair == (1.0, 2.5) and list(top.numbered) == [3]


@pytest.mark.parametrize("value", [True, "3", 3.0, [3]])
def test_what_only_looks_like_a_whole_number_is_none(value):
    assert fault({"count": value}).startswith(f"count: found {value!r}; expected a valid integer")


@pytest.mark.parametrize("value", [True, "3"])
def test_what_only_looks_like_a_number_is_none(value):
    assert fault({"many": {"x": {"kind": "red", "shade": value}}}) == (
        f"many.x.shade: found {value!r}; expected a valid number"
    )
    assert fault({"pair": [1, value]}).startswith("pair.1: found")


def test_a_number_is_no_boolean():
    assert fault({"flag": 1}) == "flag: found 1; expected a valid boolean"


def test_tags_are_no_keys_and_keys_that_are_called_like_tags_are():
    assert fault({"one": {"kind": "red", "shade": "x"}}).startswith("one.shade:")
    assert fault({"many": {"red": {"kind": "red", "red": "x"}}}).startswith("many.red.red:")
    assert fault({"many": {"blue": {"kind": "red", "shade": "x"}}}).startswith("many.blue.shade:")
    assert fault({"row": [{"kind": "blue", "inner": {"shade": "x"}}]}).startswith(
        "row.0.inner.shade:"
    )


def test_an_unknown_key_lists_the_known_and_the_nearest():
    known = "(allowed: one, many, row, count, flag, share, pair, numbered, from)"
    assert fault({"cuont": 1}) == f"cuont: unknown key; did you mean count? {known}"
    assert fault({"zzzzzz": 1}) == f"zzzzzz: unknown key {known}"
    assert "did you mean shade? (allowed: kind, shade, red)" in fault({"from": {"shadow": 1}})
    # What stands inside a section is found there, by its whole name.
    said = fault({"shade": 1})
    assert "shade: unknown key; did you mean one.shade or many.<name>.shade or " in said
    assert "many.x.shad: unknown key; did you mean shade?" in fault(
        {"many": {"x": {"kind": "red", "shad": 1}}}
    )


def test_an_unknown_key_is_told_before_the_one_it_was_meant_to_be():
    assert (
        fault({"many": {"x": {"kidn": "red"}}})
        == "many.x: 'kind' is missing; expected one of red, blue"
    )
    assert fault({"count": "x", "zzz": 1}).startswith("zzz: unknown key")


def test_an_unknown_tag_lists_the_known():
    assert (
        fault({"one": {"kind": "green"}}) == "one: 'kind' found 'green'; expected one of red, blue"
    )


def test_bounds_and_checks_are_told_in_words():
    assert fault({"count": 0}) == "count: found 0; expected a number greater than or equal to 1"
    assert fault({"share": 1.5}) == (
        "share: found 1.5; expected a number greater than 0 and less than or equal to 1"
    )
    assert fault({"share": 0}).endswith("greater than 0 and less than or equal to 1")
    assert fault({"one": {"kind": "red", "shade": 10}}) == "one.shade: too dark"
    assert fault({"one": 3}) == "one: found 3; expected a mapping"
    assert fault({"many": []}) == "many: found []; expected a mapping"
    assert fault({"from": 3}) == "from: found 3; expected a mapping"
    assert fault({"row": {}}) == "row: found a mapping; expected a list"
    assert fault({"pair": 3}) == "pair: found 3; expected a list"
    assert len(fault({"count": ["x" * 1000]})) < 150
    assert fault({"numbered": {"x": {}}}).startswith(
        "numbered.x: found 'x'; expected a valid integer"
    )
