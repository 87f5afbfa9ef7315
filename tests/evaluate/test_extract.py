import pytest

from valley.evaluate.extract import Extraction, extract

PROGRAM = "x = int(input())\nprint(x + 1)\n"
BLOCK = f"```python\n{PROGRAM}```"
OTHER = "```python\nprint('draft')\n```"


@pytest.mark.parametrize(
    "text",
    [
        BLOCK,
        f"Here it is:\n{BLOCK}\nIt adds one.",
        f"```\n{PROGRAM}```",
        f"```Python3\n{PROGRAM}```",
        f"``` python\n{PROGRAM}```   ",
        f"{OTHER}\nBetter:\n{BLOCK}",
        f"{BLOCK}\n```text\n4\n```",
        f"{BLOCK}\n```\n\n```",
        f"Inline ```x = 1``` first.\n{BLOCK}",
        f"```python\nprint('never closed')\n{BLOCK}",
    ],
)
def test_the_last_python_block_is_the_program(text):
    assert extract(text) == Extraction(PROGRAM, think_opened=False, think_closed=False)


def test_a_closed_thought_hides_its_drafts():
    closed = extract(f"<think>\nPerhaps\n{OTHER}\n</think>\nSo:\n{BLOCK}")
    assert closed == Extraction(PROGRAM, think_opened=True, think_closed=True)
    assert extract(f"<think>{OTHER}</think>\nI do not know.").code is None
    assert extract(f"<think>{OTHER}</think>\n{OTHER}\n</think>\n{BLOCK}").code == PROGRAM


def test_a_thought_that_was_opened_before_the_text_counts_as_closed_only():
    result = extract(f"{OTHER}</think>\n{BLOCK}")
    assert result == Extraction(PROGRAM, think_opened=False, think_closed=True)


def test_a_thought_that_was_never_opened_hides_nothing():
    text = f"First\n{OTHER}\nthen\n{BLOCK}\nDone."
    assert extract(text) == Extraction(PROGRAM, think_opened=False, think_closed=False)


def test_a_prefilled_thought_counts_as_opened():
    prefill = "<think>\n"  # a sample's text begins with what was prefilled
    assert extract(f"{prefill}Perhaps\n{OTHER}").code is None
    assert extract(f"{prefill}Perhaps\n{OTHER}\n</think>\n{BLOCK}").code == PROGRAM


@pytest.mark.parametrize("finish_reason", ["stop", "length"])
def test_an_open_thought_holds_no_program(finish_reason):
    result = extract(f"<think>\n{BLOCK}", finish_reason)
    assert result == Extraction(None, think_opened=True, think_closed=False)


def test_an_open_fence_is_a_program_only_if_the_answer_ended_by_itself():
    text = f"{OTHER}\nBetter:\n```python\n{PROGRAM}"
    assert extract(text, "stop").code == PROGRAM
    assert extract(text, "length").code is None
    assert extract(f"{BLOCK}\n```\n", "length").code == PROGRAM  # nothing stands in the open one


@pytest.mark.parametrize("text", ["", "print(1)", "```python\n```", "```cpp\nint main;\n```"])
def test_no_program(text):
    assert extract(text).code is None


def test_the_indentation_of_a_list_item_is_taken_off():
    lines = "".join(f"   {line}\n" for line in BLOCK.splitlines())
    assert extract(f"1. So\n{lines}").code == PROGRAM
    nested = "```python\nfor i in range(2):\n    print(i)\n```"
    assert extract(nested).code == "for i in range(2):\n    print(i)\n"
