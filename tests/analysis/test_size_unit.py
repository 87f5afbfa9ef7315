"""Sizes are named by what they count, in words, tables and on axes."""

import json

import pytest
from collect import collect
from drawing import style
from plot_valley import FIGURES
from size_unit import counted_in, unit_of
from summary import summarise
from synthetic_sweep import World, default_sweep
from tables import tables

from valley.errors import UserError


def words_of(document):
    """All that is said, but for what is about traces and not about sizes."""
    text = json.dumps([document["sentences"], document["valley"], document["by_level"]])
    for of_traces in ("hard traces", "easy traces", "correct traces", "held-out traces"):
        text = text.replace(of_traces, "")
    return text


@pytest.mark.parametrize("unit", ["problems", "tokens", "characters"])
def test_a_sweep_says_and_draws_what_its_sizes_count(spaced, unit):
    made = default_sweep(spaced, problems=60)
    (made.folder / "sweep.yaml").write_text(f"data: {{select: {{size_in: {unit}}}}}\n")
    document = summarise(collect(spaced))
    assert document["size_in"] == unit
    assert "traces" not in words_of(document) and f"128 {unit}" in words_of(document)
    assert tables(document)[0].head[0] == unit.capitalize()
    with style(), counted_in(document["size_in"]):
        drawn = {name: figure(document) for name, figure in FIGURES.items()}
    labels = [axes.get_xlabel() for axes in drawn["valley"].axes]
    assert any(label.startswith(f"{unit} of distillation traces") for label in labels)
    pairs = [text.get_text() for text in drawn["contrasts"].axes[0].get_yticklabels()]
    assert pairs and all(text.endswith(unit) for text in pairs)


def test_traces_are_what_sizes_count_where_the_grid_says_nothing(spaced):
    made = World(spaced, problems=10)
    made.cell(0.5, size=0)
    made.cell(0.2, size=32)
    assert unit_of(collect(spaced)) == summarise(collect(spaced))["size_in"] == "traces"


def test_sizes_in_several_units_are_not_one_axis(spaced):
    made = World(spaced, problems=10)
    made.cell(0.5, size=0)
    made.cell(0.2, size=32, data__select__size_in="tokens")
    made.cell(0.2, size=64, data__select__size_in="problems")
    with pytest.raises(UserError, match=r"problems and in tokens.*--where data.select.size_in"):
        unit_of(collect(spaced))
