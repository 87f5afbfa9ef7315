from __future__ import annotations

import pytest
from chat_tokenizer import FAMILIES, byte_tokenizer, template

from valley.data.chat import ChatConfig
from valley.data.problems import Problem
from valley.data.render import OPENCODEREASONING2, Chat, instruction, response
from valley.errors import UserError
from valley.train.rows import IGNORED, padded_rows

QUESTION = "Add <1> and 2: { x }.\n\n  def f(é):\n\treturn 'ß' "
THOUGHT = "1 + 2…\n\n<b>3</b>, I <think> so."
ANSWER = "\n```python\nprint(3)\n```\n"
TESTS = [{"input": "1", "output": "2"}]
PROBLEM = Problem("p", "s", "Double x.", TESTS)
FUNCTION = Problem("p", "s", "Double x.", TESTS, "function", "def f(x):", "f")


@pytest.fixture(scope="module")
def tokenizers():
    return {name: byte_tokenizer(name) for name in (*FAMILIES, "clock")}


def learnt(document):
    """The tokens that the loss is taken of, by the trainer's own labels."""
    _, labels = padded_rows([document], 0)
    return labels[labels != IGNORED].tolist()


@pytest.mark.parametrize("thinking", [THOUGHT, ""])
@pytest.mark.parametrize("system", [None, "", "Answer in Python."])
@pytest.mark.parametrize("name", FAMILIES)
def test_exactly_the_response_is_learnt(tokenizers, name, system, thinking):
    """The thought and its tags, the answer and the end of the turn; nothing of the prompt."""
    tokenizer = tokenizers[name]
    chat = Chat(tokenizer, ChatConfig(system=system))
    answer = response(thinking, ANSWER)
    (document,) = chat.documents([(QUESTION, answer)])
    text = tokenizer.decode(document.tokens)
    said = tokenizer.decode(learnt(document))
    prompt = text.removesuffix(said)
    assert QUESTION.strip() in prompt and said.endswith(ANSWER + tokenizer.eos_token)
    assert document.tokens[-1] == tokenizer.eos_token_id
    # A template that has opened the thought leaves the rest of it to the student.
    opened = "<think>\n" if name == "qwen3-thinking" else ""
    assert prompt.endswith(opened)
    if thinking:
        assert opened + said == answer + tokenizer.eos_token
    else:
        assert said == (f"</think>\n{ANSWER}" if opened else ANSWER) + tokenizer.eos_token
    assert document.tokens.count(tokenizer.bos_token_id) == tokenizer.decode(document.tokens).count(
        tokenizer.bos_token
    )
    if name == "llama-3.1":
        assert document.tokens.count(tokenizer.bos_token_id) == 1


@pytest.mark.parametrize("name", FAMILIES)
def test_a_prompt_is_the_same_in_training_and_evaluation(tokenizers, name):
    chat = Chat(tokenizers[name])
    prompt = chat.prompt(QUESTION)
    (document,) = chat.documents([(QUESTION, ANSWER)])
    assert chat.tokens([prompt.text]) == [document.tokens[: document.prompt_tokens]]
    as_transformers = chat.tokenizer.apply_chat_template(
        [{"role": "user", "content": QUESTION}], add_generation_prompt=True, return_dict=True
    )
    assert as_transformers["input_ids"] == document.tokens[: document.prompt_tokens]


def test_the_response_would_not_survive_some_templates(tokenizers):
    """Why it is never passed through one."""
    tokenizer = tokenizers["qwen3"]
    turn = {"role": "assistant", "content": response("Hm.", ANSWER)}
    asked = {"role": "user", "content": QUESTION}
    past = tokenizer.apply_chat_template([asked, turn, asked], tokenize=False)
    assert "<think>" not in past
    rewrapped = tokenizer.apply_chat_template([asked, {**turn, "content": ANSWER}], tokenize=False)
    assert "<think>\n\n</think>" in rewrapped


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("qwen2.5", "You are Qwen"),
        ("smollm2", "named SmolLM"),
        ("llama-3.1", "Today Date: 26 Jul 2024"),
        ("qwen3", ""),
    ],
)
def test_a_system_message_takes_the_place_of_the_templates_own(tokenizers, name, default):
    plain = Chat(tokenizers[name]).prompt(QUESTION).text
    told = Chat(tokenizers[name], ChatConfig(system="Be brief.")).prompt(QUESTION).text
    empty = Chat(tokenizers[name], ChatConfig(system="")).prompt(QUESTION).text
    assert default in plain and "Be brief." in told and "Be brief." not in plain
    if "Date" not in default and default:
        assert default not in told and default not in empty
    assert len({plain, told, empty}) == (2 if name == "llama-3.1" else 3)


def test_a_template_that_writes_todays_date_gets_a_fixed_one(tokenizers):
    chat = Chat(tokenizers["clock"])
    assert "Today Date: 26 July 2024<" in chat.prompt(QUESTION).text
    tokenizer = byte_tokenizer("clock")
    tokenizer.chat_template = template("clock").replace('"%d %B %Y"', "'%d ' + '%B %Y'")
    with pytest.raises(UserError, match="its own format of today's date"):
        Chat(tokenizer)


@pytest.mark.parametrize(
    ("change", "system", "message"),
    [
        (("{%- set given", "{{ raise_exception('no system here') if messages[0].role == 'system' }}{%- set given"), "Be brief.", "no system here; it may have no system message: see chat.system"),
        (("messages[0].content if given else", "'Hello.' if given else"), "Be brief.", "leaves chat.system out"),
        (("message.content", "message.content[:9]"), None, "leaves the question out: .Add <1>"),
    ],
)  # fmt: skip
def test_a_template_that_drops_a_part_is_refused(change, system, message):
    tokenizer = byte_tokenizer("qwen2.5")
    tokenizer.chat_template = template("qwen2.5").replace(*change)
    assert tokenizer.chat_template != template("qwen2.5")
    with pytest.raises(UserError, match=message):
        Chat(tokenizer, ChatConfig(system=system)).prompt(QUESTION)


@pytest.mark.parametrize("of_its_own_kind", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_control_tokens_that_an_answer_spells_are_letters_of_it(name, of_its_own_kind):
    """Else a thought about `<|im_end|>` would teach to end there."""
    tokenizer = byte_tokenizer(name)
    chat = Chat(tokenizer)
    if of_its_own_kind:
        chat._is_plain = False
    spelt = response("".join(tokenizer.all_special_tokens), ANSWER)
    for _ in range(2):  # the prompt's own stay control tokens, also the second time
        plain, document = chat.documents([(QUESTION, "x"), (QUESTION, spelt)])
        prompt = document.tokens[: document.prompt_tokens]
        assert plain.tokens[: plain.prompt_tokens] == prompt
        learnt_tokens = learnt(document)
        assert not set(tokenizer.all_special_ids) & set(learnt_tokens[:-1])
        assert (
            tokenizer.decode(learnt_tokens[:-1]) in spelt
            and learnt_tokens[-1] == tokenizer.eos_token_id
        )
    assert Chat(tokenizer).tokens([tokenizer.eos_token]) == [[tokenizer.eos_token_id]]


def test_half_a_character_is_refused_with_its_place(tokenizers):
    chat = Chat(tokenizers["qwen3"])
    with pytest.raises(UserError, match=r"half of a character .* stands in 'well \\ud800"):
        chat.documents([(QUESTION, "fine"), (QUESTION, "well \ud800")])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ messages[0].content }}{{ 1 / 0 }}", "template fails: division by zero"),
        ("{{ messages[0].content + 1 }}", "template fails: can only concatenate"),
        ("{% for", "template fails: "),
        ("", "leaves the question out"),
        (None, "has no chat template; put a chat_template.jinja"),
    ],
)
def test_templates_that_do_not_work_are_told_in_a_sentence(text, message):
    tokenizer = byte_tokenizer("qwen2.5")
    tokenizer.chat_template = text
    with pytest.raises(UserError, match=message):
        Chat(tokenizer).prompt(QUESTION)


@pytest.mark.parametrize(
    "answer", ["", "a\0b", "x" * 300_000, "<think>\na\n<think>\nb\n</think>\nc\n</think>\nd"]
)
def test_odd_answers_are_learnt_as_they_are(tokenizers, answer):
    tokenizer = tokenizers["qwen3"]
    (document,) = Chat(tokenizer).documents([(QUESTION, answer)])
    assert tokenizer.decode(learnt(document)) == answer + tokenizer.eos_token


def test_tokenizers_that_lose_thoughts_or_ends_are_refused():
    tokenizer = byte_tokenizer("qwen3")
    tokenizer.add_special_tokens({"extra_special_tokens": ["</think>"]})
    with pytest.raises(UserError, match="calls </think> special"):
        Chat(tokenizer)
    tokenizer = byte_tokenizer("qwen3")
    tokenizer.eos_token = None
    with pytest.raises(UserError, match="names no token that ends an answer"):
        Chat(tokenizer).documents([("a", "b")])


def test_what_a_tokenizer_of_its_own_kind_does_to_a_text_is_done():
    from transformers import PreTrainedTokenizerFast

    class Shouting(PreTrainedTokenizerFast):
        def _encode_plus(self, text, *arguments, **options):
            louder = text.upper() if isinstance(text, str) else [each.upper() for each in text]
            return super()._encode_plus(louder, *arguments, **options)

    tokenizer = byte_tokenizer("qwen3")
    shouting = Shouting(tokenizer_object=tokenizer.backend_tokenizer, eos_token="<|im_end|>")
    shouting.chat_template = tokenizer.chat_template
    chat = Chat(shouting)
    assert chat.tokens(["a b", "c"]) == Chat(tokenizer).tokens(["A B", "C"])


def test_no_text_is_cut_or_padded_by_what_tokenizer_json_says():
    tokenizer = byte_tokenizer("qwen3")
    tokenizer.backend_tokenizer.enable_truncation(3)
    tokenizer.backend_tokenizer.enable_padding(length=8)
    assert [len(tokens) for tokens in Chat(tokenizer).tokens(["a", "abcdef", "a" * 99])] == [
        1,
        6,
        99,
    ]


def test_many_at_once_are_as_each_alone(tokenizers):
    chat = Chat(tokenizers["llama-3.1"])
    pairs = [(f"{QUESTION} {i}", "x" * i) for i in range(9)]
    assert chat.documents(pairs) == [chat.documents([pair])[0] for pair in pairs]
    assert chat.documents([]) == []


def test_the_prompt_of_opencodereasoning2(tokenizers):
    config = ChatConfig(prompt="opencodereasoning2")
    asked = instruction(PROBLEM, config.prompt)
    assert asked == f"{OPENCODEREASONING2}\n\nDouble x."
    assert OPENCODEREASONING2.startswith(
        "You are a helpful and harmless assistant. You should think"
    )
    assert instruction(FUNCTION, config.prompt).endswith("```python\ndef f(x):\n```")
    text = Chat(tokenizers["qwen2.5"], config).prompt(asked).text
    assert text.startswith("<|im_start|>system\n<|im_end|>\n<|im_start|>user\nYou are a helpful")
    told = ChatConfig(prompt="opencodereasoning2", system="Hm.")
    assert told.system_message == "Hm." and ChatConfig().system_message is None


@pytest.mark.parametrize(
    ("prefill", "begun"),
    [("", ""), ("<think>\n", ""), ("<think>\nSo", "So"), ("```python\n", "</think>\n```python\n")],
)
def test_a_prefill_goes_on_in_a_thought_that_is_open(tokenizers, prefill, begun):
    opened = Chat(tokenizers["qwen3-thinking"]).prompt(QUESTION)
    assert opened.opened == "<think>\n" and opened.followed_by(prefill) == begun
    closed = Chat(tokenizers["qwen3"]).prompt(QUESTION)
    assert closed.opened == "" and closed.followed_by(prefill) == prefill
