from __future__ import annotations

import json
import sys

import pytest
from pydantic import ValidationError

from valley import student as module
from valley.errors import UserError
from valley.student import load_model, load_tokenizer, positions, prepare_student
from valley.student_config import FolderStudent, PackageStudent, TinyStudent, check_student
from valley.tiny_student import word_tokenizer
from valley.train.config import TrainConfig

TEXT = "Read an integer x, add 3.\n```python\nprint((7 * int(input()) + 1) % 10)\n```"
COMMIT = "5f0b02c75b57c5855da9ae460ce51323ea669d8a"
TINY = TinyStudent(layers=1, hidden=16, intermediate=16, heads=2)


def prepare(student, folder):
    """As the prepare job does."""
    prepare_student(student.semantic(), student.execution(), [TEXT], folder)


def test_the_word_tokenizer_loses_nothing():
    tokenizer = word_tokenizer([TEXT])
    encoding = tokenizer.encode(TEXT)
    assert tokenizer.decode(encoding.ids, skip_special_tokens=False) == TEXT
    assert "<|unknown|>" not in encoding.tokens
    assert "```python" in encoding.tokens and " add" in encoding.tokens


def test_a_tiny_student_is_the_same_from_the_same_seed(spaced):
    student = TINY.model_copy(update={"seed": 3})
    for name in ("a", "b"):
        prepare(student, spaced / name)
    prepare(TINY.model_copy(update={"seed": 4}), spaced / "c")
    weights = [(spaced / name / "model.safetensors").read_bytes() for name in "abc"]
    assert weights[0] == weights[1] != weights[2]


def test_what_a_student_learns_first_is_no_part_of_what_it_is_before():
    taught = TINY.model_copy(update={"first_lessons": TrainConfig()})
    assert taught.semantic() == TINY.semantic()
    assert TINY.model_copy(update={"seed": 1}).semantic() != TINY.semantic()


def test_a_folder_student_is_found_from_anywhere_and_prepared(spaced, monkeypatch):
    monkeypatch.chdir(spaced)
    prepare(TINY, spaced / "m")
    student = FolderStudent(source="folder", path="m")
    check_student("mine", student)
    assert student.path == str((spaced / "m").resolve())
    prepare(student, spaced / "copy")
    assert load_tokenizer(spaced / "copy").chat_template


def test_a_folder_that_changes_while_it_is_read_is_refused(spaced, monkeypatch):
    prepare(TINY, spaced / "m")
    student = FolderStudent(source="folder", path=str(spaced / "m"))
    copy = module._copy_folder

    def copy_and_change(path, revision, folder):
        copy(path, revision, folder)
        tokenizer = spaced / "m" / "tokenizer.json"
        tokenizer.write_text(tokenizer.read_text() + " ")

    monkeypatch.setattr(module, "_copy_folder", copy_and_change)
    with pytest.raises(UserError, match=r"m: tokenizer\.json changed since the job was planned"):
        prepare(student, spaced / "copy")


def configured(**values):
    """A change of config.json."""

    def change(folder):
        path = folder / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return change


def cut(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])


def with_few_tokens(folder):
    model = load_model(folder, "fp32")
    model.resize_token_embeddings(8)
    model.save_pretrained(folder)


def without_template(folder):
    (folder / "chat_template.jinja").unlink()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (configured(num_hidden_layers=2), "no weights for 9 tensors .* would be random"),
        (configured(hidden_size=32), "cannot load this checkpoint"),
        (configured(model_type="wibble"), "cannot load this checkpoint.*wibble"),
        (cut, r"cannot load this checkpoint \(SafetensorError"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "cannot load this checkpoint"),
        (with_few_tokens, r"its tokenizer has \d\d tokens, and its weights know 8"),
        (without_template, "has no chat template"),
    ],
)
def test_a_folder_that_is_no_whole_student_is_refused_in_one_message(spaced, spoil, said):
    prepare(TINY, spaced / "m")
    spoil(spaced / "m")
    with pytest.raises(UserError, match=said) as refused:
        prepare(FolderStudent(source="folder", path=str(spaced / "m")), spaced / "copy")
    assert str(spaced / "m") in str(refused.value)
    assert not (spaced / "copy").exists()


@pytest.mark.parametrize("used", ["", "chat", "end", "text"])
def test_a_control_token_beyond_the_weights_is_refused_only_where_it_is_reached(spaced, used):
    prepare(TINY, spaced / "m")
    tokenizer = load_tokenizer(spaced / "m")
    model = load_model(spaced / "m", "fp32")
    model.resize_token_embeddings(len(tokenizer))
    tokenizer.add_tokens(["<image>"], special_tokens=used != "text")
    if used == "chat":
        tokenizer.chat_template = "<image>" + tokenizer.chat_template
    if used == "end":
        tokenizer.eos_token = "<image>"
    for part in (model, tokenizer):
        part.save_pretrained(spaced / "m")
    student = FolderStudent(source="folder", path=str(spaced / "m"))
    if not used:
        prepare(student, spaced / "copy")
        assert len(load_tokenizer(spaced / "copy")) == len(tokenizer)
        return
    with pytest.raises(UserError, match=r"its weights know \d+ \(not <image>\)"):
        prepare(student, spaced / "copy")


def test_a_folder_student_is_its_content_wherever_it_lies(spaced):
    for name in ("here", "there"):
        prepare(TINY, spaced / name)
    prepare(TINY.model_copy(update={"seed": 1}), spaced / "other")
    (spaced / "there" / "README.md").write_text("of no matter")
    here, there, other = (
        FolderStudent(source="folder", path=str(spaced / name), parameters_million=size)
        for name, size in (("here", 1), ("there", 2), ("other", 1))
    )
    assert here.semantic() == there.semantic() != other.semantic()
    assert here.execution() != there.execution()
    assert str(spaced) not in str(here.semantic())


def test_a_plan_looks_at_a_folder_once(spaced, monkeypatch):
    prepare(TINY, spaced / "m")
    planned = FolderStudent(source="folder", path=str(spaced / "m")).semantic()
    (spaced / "m" / "config.json").unlink()
    assert FolderStudent(source="folder", path=str(spaced / "m")).semantic() == planned


def test_a_folder_that_changed_since_the_plan_is_refused_by_the_job(spaced):
    prepare(TINY, spaced / "m")
    student = FolderStudent(source="folder", path=str(spaced / "m"))
    student.semantic()
    prepare(TINY.model_copy(update={"seed": 1}), spaced / "m")
    with pytest.raises(
        UserError, match=r"student .*m: model\.safetensors changed since the job was"
    ):
        prepare(student, spaced / "copy")
    assert not (spaced / "copy").exists()


@pytest.mark.parametrize("revision", ["main", "v1.0", COMMIT[:12], COMMIT.upper()])
def test_what_can_move_is_no_revision(revision):
    with pytest.raises(
        ValidationError, match=f"found '{revision}'; expected a commit, all 40 digits"
    ):
        FolderStudent(source="folder", path="org/model", revision=revision)


def test_a_hub_id_is_known_by_its_revision():
    student = FolderStudent(source="folder", path="org/model", revision=COMMIT)
    check_student("s", student)
    assert student.semantic() == {"source": "folder", "hub_id": "org/model", "revision": COMMIT}
    assert student.execution() == {}


@pytest.fixture
def package(spaced, monkeypatch):
    """An installed package of release 1.0 that holds a file."""
    (spaced / "some_model" / "data").mkdir(parents=True)
    (spaced / "some_model" / "__init__.py").write_text("raise SystemExit('imported')")
    (spaced / "some_model" / "data" / "m.gguf").write_bytes(b"GGUF")
    described = spaced / "some_model-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: some-model\nVersion: 1.0\n")
    (described / "RECORD").write_text("some_model/__init__.py,,\nsome_model/data/m.gguf,,\n")
    monkeypatch.syspath_prepend(spaced)
    return spaced


def test_a_package_student_is_its_release_and_file(package):
    student = PackageStudent(source="package", package="some_model", file="data/m.gguf")
    planned = student.semantic()
    assert planned["release"] == "some-model 1.0" and planned["size_bytes"] == 4
    assert str(package) not in str(planned) and "some_model" not in sys.modules
    (package / "some_model" / "data" / "m.gguf").write_bytes(b"GGUF2")
    with pytest.raises(UserError, match="student some_model: size_bytes changed since the job was"):
        prepare_student(planned, student.execution(), [], package / "copy")


@pytest.mark.parametrize(
    ("student", "message"),
    [
        (FolderStudent(source="folder", path="./nowhere"), r"students\.s\.path: no model at"),
        (FolderStudent(source="folder", path="~no_such_user_here/m"), "no model at '~no_such"),
        (FolderStudent(source="folder", path="org/model"), "or a hub id with its `revision`"),
        (
            PackageStudent(source="package", package="no_such_package_", file="x"),
            r"students\.s\.package: 'no_such_package_' is not installed",
        ),
        (PackageStudent(source="package", package="sys", file="x"), "'sys' is not installed"),
        (PackageStudent(source="package", package="__main__", file="x"), "is not installed"),
        (
            PackageStudent(source="package", package="pytest", file="x.gguf"),
            "holds no file 'x.gguf'",
        ),
    ],
)
def test_students_that_cannot_be_are_refused_before_anything_is_loaded(student, message):
    with pytest.raises(UserError, match=message):
        check_student("s", student)


@pytest.mark.parametrize("package", ["nope.sub", ".x", "", "os.path"])
def test_a_package_inside_another_is_refused_since_looking_would_import(package):
    with pytest.raises(ValidationError, match="import name of a whole package"):
        PackageStudent(source="package", package=package, file="x")


def test_a_tokenizer_without_a_chat_template_is_refused(spaced):
    prepare(TINY, spaced)
    (spaced / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="has no chat template"):
        load_tokenizer(spaced)


def test_a_dry_run_makes_do_without_a_student(spaced):
    for config in (
        PackageStudent(source="package", package="no_such_package", file="x", parameters_million=9),
        FolderStudent(source="folder", path=str(spaced / "nowhere"), parameters_million=9),
    ):
        stand_in = config.for_a_dry_run()
        assert len(stand_in.missing()) == 1 and stand_in.parameters == config.parameters == 9e6
        with pytest.raises(UserError):
            config.semantic()
        assert stand_in.semantic()["settings"]["source"] == config.source
    hub = FolderStudent(source="folder", path="some/model", revision=COMMIT)
    assert hub.for_a_dry_run() is hub and not hub.missing()
    assert TinyStudent().for_a_dry_run() == TinyStudent()


@pytest.mark.parametrize(
    ("config", "most"),
    [
        ({}, None),
        ({"max_position_embeddings": 4096}, 4096),
        (
            {
                "max_position_embeddings": 32768,
                "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768},
            },
            131072,
        ),
        (
            {
                "max_position_embeddings": 131072,
                "rope_parameters": {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192},
            },
            131072,
        ),
        (
            {
                "max_position_embeddings": 32768,
                "rope_parameters": {"full_attention": {"rope_type": "linear", "factor": 8.0}},
            },
            32768,
        ),
    ],
)  # fmt: skip
def test_a_student_bears_what_its_positions_are_scaled_to(spaced, config, most):
    (spaced / "config.json").write_text(json.dumps(config))
    assert positions(spaced) == most
