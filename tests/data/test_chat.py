from __future__ import annotations

import pytest
import yaml
from pydantic import ValidationError

from valley.data.chat import ChatConfig
from valley.data.problems import Problem
from valley.data.render import instruction
from valley.errors import UserError
from valley.evaluate.profiles import Profile
from valley.records import digest
from valley.student_config import TinyStudent
from valley.sweep import load_sweep
from valley.tiny_student import make_tiny
from valley.trail import trail

OCR2 = {"prompt": "opencodereasoning2"}


@pytest.fixture
def planned(spaced):
    """The jobs of a grid with the given `chat` and other settings, of a student that lies in a folder."""
    make_tiny(TinyStudent(layers=1, hidden=16, intermediate=16, heads=2), ["a"], spaced / "m")

    def planned(chat, student=None, **settings):
        grid = {
            "name": "g",
            "students": {"s": student or {"source": "folder", "path": str(spaced / "m")}},
            "data": {"source": "tiny", "direct_answers": 0},
            "grid": [{"size": [0, 16]}],
            **({"chat": chat} if chat is not None else {}),
            **settings,
        }
        (spaced / "grid.yaml").write_text(yaml.safe_dump(grid))
        return trail(*load_sweep(spaced / "grid.yaml")).jobs

    return planned


def test_the_chat_is_identity_of_trainings_and_generations_only(planned):
    plain, told = planned(None), planned(OCR2)
    assert {job.identity for job in plain} == {job.identity for job in planned({})}
    for before, after in zip(plain, told, strict=True):
        assert before.kind == after.kind and before.label == after.label
        assert (before.identity == after.identity) == (before.kind == "prepare")
        assert "chat" not in before.config
        if before.kind in ("train", "generate"):
            assert after.config == {**before.config, "chat": OCR2}


def test_identities_with_a_chat_are_exact(planned):
    for job in planned({"system": 'Say "é".\n'}):
        whole = {
            "schema": "valley.job/1",
            "kind": job.kind,
            "config": job.config,
            "inputs": {role: parent.identity for role, parent in job.inputs.items()},
        }
        assert job.identity == digest(whole)


def test_the_chat_is_an_axis(planned):
    jobs = planned(None, grid=[{"size": [16], "chat.system": [None, "Hm."]}])
    said = [job.config.get("chat") for job in jobs if job.kind == "train"]
    assert said == [None, {"system": "Hm."}]


def test_what_becomes_of_long_examples_is_identity_but_for_the_default(planned):
    ids = [
        {job.identity for job in planned(None, train=train)}
        for train in ({}, {"too_long": "drop"}, {"too_long": "keep"})
    ]
    assert ids[0] == ids[1] != ids[2]


def test_a_tiny_student_is_asked_nothing_that_it_cannot_read(planned):
    tiny = {"source": "tiny"}
    assert planned({}, tiny)
    with pytest.raises(UserError, match=r"chat: the student 's' .* leave `chat` out for a tiny"):
        planned(OCR2, tiny)


def test_a_prompt_of_another_name_is_refused():
    with pytest.raises(ValidationError, match="'plain', 'opencodereasoning2' or 'livecodebench'"):
        ChatConfig(prompt="ocr2")


STDIN = """### Question:
Add.

### Format: Read the inputs from stdin solve the problem and write the answer to stdout (do not directly test on the sample inputs). Enclose your code within delimiters as follows. Ensure that when the python program runs, it reads the inputs, runs the algorithm and writes output to STDOUT.
```python
# YOUR CODE HERE
```

### Answer: (use the provided format with backticks)

"""
STARTER = """### Question:
Add.

### Format: You will use the following starter code to write the solution to the problem and enclose your code within delimiters.
```python
class Solution:
```

### Answer: (use the provided format with backticks)

"""


def test_livecodebench_asks_as_it_was_published():
    """The texts are those that its own code (28fef95) makes of these two problems."""
    read = Problem("a", "livecodebench/atcoder", "Add.", [])
    called = Problem("b", "s", "Add.", [], "function", "class Solution:", "add")
    assert instruction(read, "livecodebench") == STDIN
    assert instruction(called, "livecodebench") == STARTER
    system = ChatConfig(prompt="livecodebench").system_message
    assert system is not None and system.startswith(
        "You are an expert Python programmer. You will be"
    )


def test_a_profile_asks_as_the_student_was_taught_or_by_a_prompt_of_its_own():
    taught = ChatConfig(prompt="opencodereasoning2", system="Be brief.")
    assert Profile().chat(taught) == taught
    assert Profile(prompt="livecodebench").chat(taught) == ChatConfig(prompt="livecodebench")


def test_another_prompt_is_another_generation_of_the_same_training(planned):
    profiles = {"greedy": {}, "lcb": {"prompt": "livecodebench"}}
    plain = [j for j in planned(OCR2) if j.kind == "generate"]
    both = [j for j in planned(OCR2, generate={"profiles": profiles}) if j.kind == "generate"]
    assert {j.identity for j in plain} < {j.identity for j in both}
    assert {j.config["profile"].get("prompt") for j in both} == {None, "livecodebench"}
