from __future__ import annotations

import pytest

from valley import model_folder
from valley.errors import UserError


@pytest.fixture
def folder(spaced):
    (spaced / "config.json").write_text("{}")
    (spaced / "model.safetensors").write_bytes(bytes(3 * model_folder.WHOLE_BYTES))
    return spaced


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "merges.txt", "a.jinja"])
def test_a_small_file_counts_whole(folder, name):
    (folder / name).write_text("x" * 1000)
    before = model_folder.content(str(folder))
    (folder / name).write_text("x" * 500 + "y" + "x" * 499)
    after = model_folder.content(str(folder))
    assert {n for n in after if after[n] != before[n]} == {name}


@pytest.mark.parametrize("place", [0, model_folder.WHOLE_BYTES - 1, -1])
def test_a_large_file_counts_by_its_size_and_both_ends(folder, place):
    before = model_folder.content(str(folder))
    weights = bytearray((folder / "model.safetensors").read_bytes())
    weights[place] = 1
    (folder / "model.safetensors").write_bytes(weights)
    ends = model_folder.content(str(folder))
    (folder / "model.safetensors").write_bytes(bytes(3 * model_folder.WHOLE_BYTES + 1))
    size = model_folder.content(str(folder))
    assert len({c["model.safetensors"] for c in (before, ends, size)}) == 3


def test_a_folder_without_weights_or_configuration_is_none(folder):
    (folder / "config.json").rename(folder / "configuration.json")
    with pytest.raises(UserError, match=r"no model at .* \(no config\.json there\)"):
        model_folder.content(str(folder))
    (folder / "configuration.json").rename(folder / "config.json")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no \.safetensors or \.bin file there"):
        model_folder.content(str(folder))
