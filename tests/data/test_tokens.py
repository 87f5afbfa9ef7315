from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from chat_tokenizer import byte_tokenizer

from valley.data import tokens as tokens_module
from valley.data.chat import ChatConfig
from valley.data.render import Chat
from valley.data.tokens import FILES, tokenized, tokenizer_digest
from valley.errors import UserError
from valley.records import digest
from valley.student import load_tokenizer

TEXTS = [(f"Question {i}?", f"<think>\n{'so ' * (i % 7)}\n</think>\n{i}") for i in range(40)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("a student")
    byte_tokenizer("qwen2.5").save_pretrained(folder)
    return folder


@pytest.fixture
def chat(checkpoint) -> Chat:
    return Chat(load_tokenizer(checkpoint))


def never():
    raise AssertionError("the texts are in the cache and were asked for")


def as_lists(documents):
    return [(list(d.tokens), d.prompt_tokens) for d in documents]


def entries(root: Path) -> list[Path]:
    """Everything in the cache, hidden files too."""
    return sorted(root.glob("??/*")) + sorted(root.glob("??/.*"))


def test_the_cache_holds_what_the_chat_renders(spaced, chat, monkeypatch):
    monkeypatch.setattr(tokens_module, "BATCH_CHARACTERS", 100)
    said = []
    made = tokenized(
        spaced, "d", lambda: TEXTS, chat, lambda **how: said.append(how), examples=len(TEXTS)
    )
    expected = as_lists(chat.documents(TEXTS))
    assert as_lists(made) == as_lists(made[:]) == expected
    assert made.lengths.tolist() == [len(tokens) for tokens, _ in expected]
    assert made.texts_digest == digest(TEXTS)
    assert len(said) > 5 and said[-1] == {"step": 40, "steps": 40, "doing": "tokenising"}
    found = tokenized(spaced, "d", never, chat)
    assert as_lists(found) == expected and found.texts_digest == digest(TEXTS)
    (folder,) = entries(spaced)
    assert sorted(os.listdir(folder)) == sorted([*FILES, "meta.json"])


def test_a_tokenizer_that_changes_once_it_is_loaded_is_refused(spaced, checkpoint):
    folder = shutil.copytree(checkpoint, spaced / "student")
    loaded = tokenizer_digest(str(folder))
    chat = Chat(load_tokenizer(folder))
    assert len(tokenized(spaced / "cache", "d", lambda: TEXTS, chat, loaded=loaded)) == 40
    content = json.loads((folder / "tokenizer.json").read_text())
    content["model"]["vocab"]["another"] = len(content["model"]["vocab"]) + 10
    (folder / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="the tokenizer's files changed while they were read"):
        tokenized(spaced / "cache", "d", lambda: TEXTS, chat, loaded=loaded)
    assert len(entries(spaced / "cache")) == 1


def test_a_part_of_the_documents(spaced, chat):
    made = tokenized(spaced, "d", lambda: TEXTS, chat)
    wanted = made.lengths % 2 == 0
    part, expected = made.where(wanted), as_lists(made)
    assert as_lists(part) == [expected[i] for i in np.flatnonzero(wanted)]
    assert part.lengths.tolist() == made.lengths[wanted].tolist()
    assert len(made.where(np.zeros(40, bool))) == 0


def test_anything_that_changes_the_tokens_is_another_entry(spaced, chat, checkpoint):
    other = spaced / "other student"
    shutil.copytree(checkpoint, other)
    settings = json.loads((other / "tokenizer.json").read_text())
    settings["added_tokens"][0]["lstrip"] = True
    (other / "tokenizer.json").write_text(json.dumps(settings))
    reworded = load_tokenizer(checkpoint)
    reworded.chat_template = reworded.chat_template.replace("Alibaba", "a")
    root = spaced / "cache"
    ways = [
        ("d", chat),
        ("e", chat),
        ("d", Chat(chat.tokenizer, ChatConfig(system="Hm."))),
        ("d", Chat(reworded)),
        ("d", Chat(load_tokenizer(other))),
    ]
    for number, (data, how) in enumerate(ways, start=1):
        for texts in (lambda: TEXTS, never):
            tokenized(root, data, texts, how)
        assert len(entries(root)) == number
    # Wherever the checkpoint lies.
    moved = spaced / "moved"
    shutil.copytree(checkpoint, moved)
    tokenized(root, "d", never, Chat(load_tokenizer(moved)))


@pytest.mark.parametrize("name", [*FILES, "meta.json"])
@pytest.mark.parametrize("how", ["flipped", "cut", "emptied", "removed"])
def test_a_damaged_entry_is_made_anew(spaced, chat, name, how):
    expected = as_lists(tokenized(spaced, "d", lambda: TEXTS, chat))
    (folder,) = entries(spaced)
    path = folder / name
    content = bytearray(path.read_bytes())
    content[-5] ^= 4
    match how:
        case "flipped":
            path.write_bytes(content)
        case "removed":
            path.unlink()
        case _:
            path.write_bytes(content[: len(content) // 2 if how == "cut" else 0])
    if (name, how) != ("meta.json", "flipped"):
        with pytest.raises(AssertionError, match="were asked for"):
            tokenized(spaced, "d", never, chat)
    assert as_lists(tokenized(spaced, "d", lambda: TEXTS, chat)) == expected
    assert as_lists(tokenized(spaced, "d", never, chat)) == expected
    assert len(entries(spaced)) == 1


def test_one_that_fails_leaves_nothing_behind(spaced, chat):
    def texts():
        yield TEXTS[0]
        raise UserError("the disk is gone")

    with pytest.raises(UserError, match="the disk is gone"):
        tokenized(spaced, "d", texts, chat)
    assert entries(spaced) == []
    assert len(tokenized(spaced, "d", lambda: TEXTS, chat)) == 40


def test_a_set_of_nothing_is_empty(spaced, chat):
    assert len(tokenized(spaced, "d", list, chat)) == len(tokenized(spaced, "d", never, chat)) == 0


def test_a_tokenizer_of_no_folder_is_refused(spaced):
    with pytest.raises(UserError, match="no folder with a tokenizer's files"):
        tokenized(spaced, "d", list, Chat(byte_tokenizer("qwen2.5")))


def rank(checkpoint: Path, root: Path, ready, said) -> None:
    """One of several processes that start at once; says what it found and whether it tokenised."""
    asked = []

    def texts():
        asked.append(1)
        return TEXTS

    chat = Chat(load_tokenizer(checkpoint))
    ready.wait()
    said.put((digest(as_lists_of_ints(tokenized(root, "d", texts, chat))), len(asked)))


def as_lists_of_ints(documents):
    return [[d.tokens.tolist(), d.prompt_tokens] for d in documents]


@pytest.mark.parametrize("damaged", [False, True])
def test_of_many_ranks_one_tokenises(spaced, checkpoint, chat, damaged):
    expected = as_lists_of_ints(tokenized(spaced, "d", lambda: TEXTS, chat))
    (folder,) = entries(spaced)
    if damaged:
        (folder / "tokens.bin").write_bytes(b"")
    else:
        shutil.rmtree(folder)
    start = multiprocessing.get_context("fork")
    ready, said = start.Barrier(6), start.Queue()
    ranks = [start.Process(target=rank, args=(checkpoint, spaced, ready, said)) for _ in range(6)]
    for process in ranks:
        process.start()
    results = [said.get(timeout=60) for _ in ranks]
    for process in ranks:
        process.join()
    assert {found for found, _ in results} == {digest(expected)}
    assert sum(asked for _, asked in results) == 1
    assert len(entries(spaced)) == 1


@pytest.mark.parametrize("what", ["file", "link", "nested"])
def test_what_is_foreign_is_set_aside_and_leaves_nothing(spaced, chat, what):
    expected = as_lists(tokenized(spaced, "d", lambda: TEXTS, chat))
    (folder,) = entries(spaced)
    if what == "nested":  # deeper than JSON is read
        (folder / "meta.json").write_text("[" * 100_000)
    else:
        shutil.rmtree(folder)
        if what == "file":
            folder.write_text("mine")
        else:
            folder.symlink_to(spaced / "nowhere")
    assert as_lists(tokenized(spaced, "d", lambda: TEXTS, chat)) == expected
    assert entries(spaced) == [folder] and folder.is_dir() and not folder.is_symlink()


def stopped(checkpoint: Path, root: Path, how: str) -> None:
    """A process that does not finish: it is killed, or its disk is full."""
    if how == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    def texts():
        yield from TEXTS
        if how == "killed":
            os.kill(os.getpid(), signal.SIGKILL)

    tokens_module.BATCH_CHARACTERS = 100
    with pytest.raises(OSError, match="File too large"):
        tokenized(root, "d", texts, Chat(load_tokenizer(checkpoint)))
    assert entries(root) == []


@pytest.mark.parametrize("how", ["killed", "full"])
def test_one_that_does_not_finish_is_in_nobodys_way(spaced, checkpoint, chat, how):
    process = multiprocessing.get_context("fork").Process(
        target=stopped, args=(checkpoint, spaced, how)
    )
    process.start()
    process.join(60)
    assert process.exitcode == (-signal.SIGKILL if how == "killed" else 0)
    assert len(tokenized(spaced, "d", lambda: TEXTS, chat)) == 40
    assert [path.name[0] != "." for path in spaced.glob("??/*")] == [True]
