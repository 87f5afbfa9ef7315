"""The names that a function's program starts with, as LeetCode provides them and LiveCodeBench imports them.

LiveCodeBench (`testing_util.py`) puts the same lines before every program; here they stand before
functions in strict mode, and before all programs in lcb mode. The order counts: a later module's
name replaces an earlier one's, such as `pow`, which is the builtin in the end.
"""

from __future__ import annotations

import functools
import gc
import sys

_STARRED = (
    *("string", "re", "datetime", "collections", "heapq", "bisect", "copy", "math", "random"),
    *("statistics", "itertools", "functools", "operator", "io", "sys", "json", "builtins"),
    "typing",
)
_MODULES = _STARRED[:-2]
RECURSION_LIMIT = 50_000

SOURCE = "".join(
    (
        *(f"from {name} import *\n" for name in _STARRED),
        *(f"import {name}\n" for name in _MODULES),
        f"sys.setrecursionlimit({RECURSION_LIMIT})\n",
    )
)
CODE = compile(SOURCE, "prelude", "exec", dont_inherit=True)


@functools.cache
def warm() -> None:
    """Import once what the prelude imports, for all programs that are forked from here on."""
    limit = sys.getrecursionlimit()
    exec(CODE, {"__name__": "prelude"})
    sys.setrecursionlimit(limit)
    gc.collect()
    gc.freeze()
