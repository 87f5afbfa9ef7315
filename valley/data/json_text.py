"""Long texts as JSON: the same bytes as `json.dumps` makes, which looks at every character."""

from __future__ import annotations

from json import dumps

import numpy as np

LONG = 1000
"""Characters from which on this is faster."""
ESCAPES = (
    (b"\\", b"\\\\"),  # first: the others bring new ones
    (b'"', b'\\"'),
    (b"\n", b"\\n"),
    (b"\t", b"\\t"),
    (b"\r", b"\\r"),
)


def json_text(text: str) -> bytes:
    r"""A text as JSON, in ASCII.

    >>> json_text('"1"\n')
    b'"\\"1\\"\\n"'
    """
    if len(text) < LONG or not text.isascii():
        return dumps(text).encode()
    data = text.encode()
    for plain, escape in ESCAPES:
        data = data.replace(plain, escape)
    if np.frombuffer(data, dtype=np.uint8).min() < 0x20 or b"\x7f" in data:
        return dumps(text).encode()  # a control character that is rarer
    return b'"%b"' % data
