from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from valley.data import json_text as module
from valley.data.json_text import json_text

SOME = st.text(st.sampled_from('ab \\"\n\t\r\0\x01\x1f\x7fé≤😀\ud800'))


@given(start=SOME, end=st.text(), filled=st.booleans())
def test_it_is_what_json_makes(start, end, filled):
    text = start + "x\n" * (module.LONG if filled else 0) + end
    assert json_text(text) == json.dumps(text).encode()


@given(st.text(st.characters(max_codepoint=126), min_size=1))
def test_long_texts_in_ascii_too(piece):
    text = piece * (module.LONG // len(piece) + 1)
    assert json_text(text) == json.dumps(text).encode()
