from __future__ import annotations

import os
import pickle
import zlib
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from valley.data.sources import plain_pickle
from valley.data.sources.plain_pickle import NotPlainError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner),
    max_leaves=8,
)


@settings(max_examples=40)
@given(PLAIN, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_data_comes_back(value, protocol):
    assert plain_pickle.loads(pickle.dumps(value, protocol)) == value


class _Calls:
    def __init__(self, function, *arguments):
        self.parts = function, arguments

    def __reduce__(self):
        return self.parts


def evil(path):
    """Pickles that would do something if they were read as such."""
    run = f"touch '{path}'"
    yield pickle.dumps(_Calls(os.system, run))
    yield pickle.dumps(["[]", {"tests": (_Calls(os.system, run),)}])
    yield pickle.dumps(_Calls(eval, f"open({str(path)!r}, 'w')"), 0)
    yield pickle.dumps(_Calls(exec, f"open({str(path)!r}, 'w')"), 4)
    yield f'cos\nsystem\n(S"{run}"\ntR.'.encode()
    yield f'(S"{run}"\nios\nsystem\n.'.encode()
    yield b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c" + bytes([len(run)]) + run.encode() + b"\x85R."


def test_a_pickle_that_names_anything_is_refused_and_does_nothing(spaced):
    trace = spaced / "touched"
    made = list(evil(trace))
    for data in made:
        with pytest.raises(NotPlainError, match=r"it names .*, and only plain data is read"):
            plain_pickle.loads(data)
        assert not trace.exists()
    pickle.loads(made[0])  # it would have
    assert trace.exists()


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(date(2024, 8, 1)),
        pickle.dumps(b"bytes", 0),  # by way of codecs.encode
        b"\x80\x02\x82\x01.",  # an extension by its number
        b"Psomewhere\n.",  # a persistent id
        b"",
        b"not a pickle",
        pickle.dumps(["x" * 100])[:-20],
        b"\x80\x04r\xff\xff\xff\x7fN.",  # a memo of billions
    ],
)
def test_what_is_more_than_plain_or_damaged_is_refused(data):
    with pytest.raises(NotPlainError):
        plain_pickle.loads(data)


def test_what_is_packed_must_be_whole_and_of_bounded_size(monkeypatch):
    packed = zlib.compress(b"x" * 1000)
    assert plain_pickle.decompress(packed) == b"x" * 1000
    with pytest.raises(NotPlainError, match="is cut"):
        plain_pickle.decompress(packed[:-1])
    with pytest.raises(NotPlainError, match="cannot be unpacked"):
        plain_pickle.decompress(b"zip?")
    monkeypatch.setattr(plain_pickle, "MAX_BYTES", 999)
    with pytest.raises(NotPlainError, match="larger than a gibibyte"):
        plain_pickle.decompress(packed)
