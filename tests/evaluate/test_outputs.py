from __future__ import annotations

import os

import pytest

from valley.errors import UserError
from valley.evaluate.outputs import check_outputs


@pytest.fixture
def samples(spaced):
    path = spaced / "s.jsonl"
    path.write_text("samples")
    return path


def linked(samples, by):
    path = samples.with_name("linked.jsonl")
    by(samples, path)
    return path


@pytest.mark.parametrize(
    "name",
    [
        lambda samples: samples,
        lambda samples: samples.parent / ".." / samples.parent.name / samples.name,
        lambda samples: linked(samples, os.symlink),
        lambda samples: linked(samples, os.link),
        lambda samples: os.path.relpath(samples),
    ],
)
def test_an_input_is_not_overwritten_under_any_name(samples, name):
    path = type(samples)(name(samples))
    with pytest.raises(UserError, match="this is the file of --samples, which it would overwrite"):
        check_outputs({"--samples": samples}, {"--out": path})


def test_two_outputs_are_two_files(samples, spaced):
    out = spaced / "v.jsonl"
    check_outputs({"--samples": samples}, {"--out": out, "--scores": spaced / "v.json"})
    with pytest.raises(UserError, match="this is the file of --out"):
        check_outputs({}, {"--out": out, "--scores": spaced / "x" / ".." / "v.jsonl"})


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("none/s.json", "no folder .*none"),
        ("s.jsonl/s.json", r"no folder .*s\.jsonl"),
        (".", "is a folder"),
    ],
)
def test_what_cannot_be_written_is_told(samples, spaced, name, told):
    with pytest.raises(UserError, match=rf"--scores .*: cannot be written \({told}\); (make|name)"):
        check_outputs({}, {"--scores": spaced / name})
    assert samples.read_text() == "samples"


def test_a_folder_that_may_not_be_written_into(spaced, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(UserError, match=r"no permission in .*a folder"):
        check_outputs({}, {"--scores": spaced / "s.json"})
