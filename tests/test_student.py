from __future__ import annotations

import pytest

from valley.errors import UserError
from valley.student import (
    FolderStudent,
    PackageStudent,
    TinyStudent,
    check_student,
    load_tokenizer,
    prepare_student,
    word_tokenizer,
)

TEXT = "Read an integer x, add 3.\n```python\nprint((7 * int(input()) + 1) % 10)\n```"


def test_the_word_tokenizer_loses_nothing():
    tokenizer = word_tokenizer([TEXT])
    encoding = tokenizer.encode(TEXT)
    assert tokenizer.decode(encoding.ids, skip_special_tokens=False) == TEXT
    assert "<|unknown|>" not in encoding.tokens
    assert "```python" in encoding.tokens and " add" in encoding.tokens


def test_a_tiny_student_is_the_same_from_the_same_seed(spaced):
    student = TinyStudent(layers=1, hidden=16, intermediate=16, heads=2, seed=3)
    for name in ("a", "b"):
        prepare_student(student, [TEXT], spaced / name)
    prepare_student(student.model_copy(update={"seed": 4}), [TEXT], spaced / "c")
    weights = [(spaced / name / "model.safetensors").read_bytes() for name in "abc"]
    assert weights[0] == weights[1] != weights[2]


def test_a_folder_student_is_found_from_anywhere_and_prepared(spaced, monkeypatch):
    monkeypatch.chdir(spaced)
    prepare_student(
        TinyStudent(layers=1, hidden=16, intermediate=16, heads=2), [TEXT], spaced / "m"
    )
    student = FolderStudent(source="folder", path="m")
    check_student("mine", student)
    assert student.path == str((spaced / "m").resolve())
    prepare_student(student, [], spaced / "copy")
    assert load_tokenizer(spaced / "copy").chat_template


@pytest.mark.parametrize(
    ("student", "message"),
    [
        (FolderStudent(source="folder", path="./nowhere"), r"students\.s\.path: no model at"),
        (FolderStudent(source="folder", path="org/model"), "or a hub id with its `revision`"),
        (PackageStudent(source="package", package="no_such_package_", file="x"), "not installed"),
        (
            PackageStudent(source="package", package="pytest", file="x.gguf"),
            "holds no file 'x.gguf'",
        ),
    ],
)
def test_students_that_cannot_be_are_refused_before_anything_is_loaded(student, message):
    with pytest.raises(UserError, match=message):
        check_student("s", student)


def test_a_tokenizer_without_a_chat_template_is_refused(spaced):
    prepare_student(TinyStudent(layers=1, hidden=16, intermediate=16, heads=2), [TEXT], spaced)
    (spaced / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="has no chat template"):
        load_tokenizer(spaced)
