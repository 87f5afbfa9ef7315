from __future__ import annotations

import json

import pytest
from pools import Row, index_of, plain_pool

from valley.data import card as data_card
from valley.data.card import card_of, in_tokens, lengths_of, main, write_card
from valley.data.card_text import markdown
from valley.data.index import Index, read_index
from valley.data.prepared import write_pool
from valley.data.problems import Problem
from valley.data.traces import Trace
from valley.errors import UserError
from valley.evaluate.config import GradeConfig


@pytest.fixture
def pool(spaced):
    folder = spaced / "a-pool-0123456789abcdef"
    folder.mkdir()
    problems = [Problem("p", "mine", "Question.", [{"input": "", "output": ""}])]
    traces = [
        Trace(f"t{i}", "p", "word " * (i + 1), "done", i % 3 > 0, ["easy", None][i % 2], "A")
        for i in range(30)
    ]
    outcome = write_pool(folder, problems, traces, [], GradeConfig(), 1)
    write_card(folder, card_of(read_index(folder), outcome), figure=False)
    return folder


def words(texts):
    return [len(text.split()) for text in texts]


def test_a_card_counts_what_can_be_drawn_and_what_was_removed():
    index = index_of(plain_pool(54))
    for row in range(6):
        index.removed.set(row, "duplicate")
    card = card_of(index, {"removed": {"duplicate_traces": 6}, "digests": {"ids": "abc"}})
    assert card["traces"] == 54 and card["usable"] == 48 and card["removed"] == {"duplicate": 6}
    for counts in card["by"].values():
        assert sum(counts.values()) == 48
    assert card["by"]["correctness"] == {"correct": 16, "incorrect": 16, "unknown": 16}
    said = markdown(card, "mine", figure=False)
    assert "54 traces, of which 6 were removed and 48 can be drawn" in said
    assert "- duplicate: 6 traces" in said and "`abc`" in said and "card.png" not in said
    assert "| correct | 16 | 33.3% |" in said


def test_a_card_that_is_read_back_says_the_same(pool, spaced):
    card = card_of(read_index(pool), {})
    before = markdown(card, "mine", figure=False)
    assert markdown(json.loads(json.dumps(card, sort_keys=True)), "mine", figure=False) == before
    assert "percentiles: 5 % " in before and "99 % " in before.split("95 % ")[1]


def test_a_long_tail_of_labels_is_one_row():
    rows = [Row(f"t{i}", label=f"{800 + i}" if i < 40 else "EASY") for i in range(100)]
    said = markdown(card_of(index_of(rows), {}), "mine", figure=False)
    assert "| EASY | 60 | 60.0% |\n" in said and "| 27 others | 27 | 27.0% |\n" in said
    assert "| 812 | 1 |" in said and "| 813 |" not in said


def test_a_card_of_nothing_is_a_card():
    said = markdown(card_of(Index(), {}), "nothing", figure=True)
    assert "0 traces" in said and "No traces." in said and "`data.clean` is not set" in said


def test_every_length_is_in_one_bin():
    index = index_of(plain_pool(54))
    lengths = lengths_of(index.characters * range(1, 55), index.correct, "characters")
    assert sum(map(sum, lengths["counts"].values())) == 54
    assert len(lengths["edges"]) == len(lengths["counts"]["correct"]) + 1
    assert lengths["edges"][0] <= 10 and lengths["edges"][-1] > 540
    assert lengths["percentiles"]["100"] == 540


def test_lengths_in_tokens_say_how_many_are_too_long(pool):
    said = in_tokens(pool, read_index(pool), words, max_tokens=30)
    lengths = [len(f"<think> {'word ' * (i + 1)} </think> done".split()) for i in range(30)]
    asked = said["percentiles"]["100"] - max(lengths)
    assert asked > 0, "the question counts too"
    assert said["unit"] == "tokens" and said["traces"] == said["sample_of"] == 30
    assert said["too_long"] == sum(length + asked > 30 for length in lengths)
    card = json.loads((pool / "card.json").read_text()) | {"lengths": said}
    assert f"Longer than 30 tokens: {said['too_long']}" in markdown(card, "mine", figure=True)


def test_the_command_draws_the_figure_and_prints_the_card(pool, capsys, monkeypatch):
    assert not (pool / "card.png").exists()
    assert main([str(pool)]) == 0
    printed = capsys.readouterr().out
    assert "In characters, of all traces" in printed and str(pool / "card.md") in printed
    assert (pool / "card.png").read_bytes().startswith(b"\x89PNG")
    assert "card.png" in (pool / "card.md").read_text()
    monkeypatch.setattr(data_card, "_counter", lambda folder: words)
    assert main([str(pool), "--tokenizer", "a model", "--max-tokens", "30"]) == 0
    assert "In tokens, of a sample of 30" in capsys.readouterr().out
    assert json.loads((pool / "card.json").read_text())["lengths"]["max_tokens"] == 30


def test_a_sweep_is_named_and_its_pools_are_found(pool, spaced, capsys, monkeypatch):
    place = spaced / "runs" / "store" / "prepare" / "01"
    place.mkdir(parents=True)
    pool.rename(place / pool.name)
    sweep = spaced / "runs" / "sweeps" / "mine"
    sweep.mkdir(parents=True)
    line = {"before": [f"prepare/01/{pool.name}", "train/02/other-0"]}
    (sweep / "manifest.jsonl").write_text(2 * (json.dumps(line) + "\n"))
    assert main(["mine", "--root", str(spaced / "runs")]) == 0
    assert capsys.readouterr().out.count("# Data card: a-pool") == 1
    monkeypatch.setenv("HOME", str(spaced))
    monkeypatch.setenv("VALLEY_ROOT", "~/runs")
    assert main(["mine"]) == 0
    assert capsys.readouterr().out.count("# Data card: a-pool") == 1
    with pytest.raises(UserError, match=r"no prepared pool.*\(root: .*a folder/runs, which has no"):
        main(["yours"])


def test_a_card_that_cannot_be_written_is_told(pool):
    (pool / "card.md").unlink()
    (pool / "card.md").mkdir()
    with pytest.raises(UserError, match=r"the card cannot be written there \(Is a directory\)"):
        main([str(pool)])


def test_what_is_no_pool_is_told(spaced):
    with pytest.raises(UserError, match="no prepared pool; expected a sweep"):
        main([str(spaced)])
    with pytest.raises(UserError, match="--max-tokens needs a tokenizer"):
        main([str(spaced), "--max-tokens", "5"])
