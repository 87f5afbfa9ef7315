"""docs/grading.md names what the code knows."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from valley.data.flags import LCB_ERRATA
from valley.data.problems import Problem
from valley.evaluate.compare import KEYS, UNORDERED
from valley.evaluate.samples import STATUSES, Sample, Verdict
from valley.evaluate.score import score

DOCUMENT = (Path(__file__).parents[2] / "docs" / "grading.md").read_text()
METRICS = score(
    [Problem("p", "t", "", [{"input": "", "output": ""}])],
    [Sample("p", 0, 0, "", "stop", 1, 1)],
    [Verdict("p", 0, "passed", None, 1, 1, 0.0, 0.0)],
)["metrics"]


@pytest.mark.parametrize("status", STATUSES)
def test_statuses(status):
    assert f"| `{status}` |" in DOCUMENT


@pytest.mark.parametrize("rule", KEYS)
def test_rules(rule):
    assert f'"rule": "{rule}"' in DOCUMENT
    assert all(f'"{key}":' in DOCUMENT or f"`{key}`" in DOCUMENT for key in KEYS[rule])


def test_orders():
    for words in UNORDERED.values():
        assert all(f"`{of}`" in DOCUMENT or f'"of": "{of}"' in DOCUMENT for of in words)


@pytest.mark.parametrize("record", [Problem, Sample, Verdict])
def test_fields(record):
    assert record.SCHEMA in DOCUMENT
    assert [f.name for f in fields(record) if f"`{f.name}`" not in DOCUMENT] == []


@pytest.mark.parametrize("metric", METRICS)
def test_metrics(metric):
    name = metric.replace("@1_un", "@k_un")
    if metric.startswith("completion_tokens_") and not metric.endswith("mean"):
        name = metric.replace("completion_tokens", "…")
    assert f"`{name}`" in DOCUMENT


def test_the_number_of_errata():
    assert f"one of the {len(LCB_ERRATA)} problems" in DOCUMENT
