"""Notes what a program did that lets it pass in lcb mode without solving its problem.

Three ways are watched: looking at the grader's variables through frames or the garbage collector
(Python's audit events), returning what says of itself that it equals anything (the types of what is
returned), and replacing what the comparison calls. A note is a suspicion: the grader runs a noted
program in strict mode, where nothing is to be found, and that decides (`valley.evaluate.lcb`).

Not seen is a program that gets at a frame as the argument of a signal's handler, that puts back what
it replaced, or that writes to this process's memory or descriptors.
"""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any

_EVENTS = (
    "sys._getframe",
    "sys._current_frames",
    "sys._current_exceptions",
    "sys.settrace",
    "sys.setprofile",
    "gc.get_objects",
    "gc.get_referrers",
    "gc.get_referents",
)
_FRAME_ATTRIBUTES = ("tb_frame", "gi_frame", "cr_frame", "ag_frame")
_HANDS_OUT_FRAMES = ("inspect.py", "traceback.py")
_ATOMS = {int, float, bool, str, bytes, complex, range, type(None)}
_NUMBERS = ("decimal", "fractions", "numpy")
_CONTAINERS = {list, tuple, set, frozenset, deque}
_MAPPINGS = {dict, defaultdict, OrderedDict, Counter}
_NESTED = _CONTAINERS | _MAPPINGS
_PLAIN = _ATOMS | _NESTED
_USED = (
    "all",
    "enumerate",
    "getattr",
    "hasattr",
    "isinstance",
    "iter",
    "len",
    "repr",
    "str",
    "zip",
)
_LIBRARY = os.path.dirname(os.__file__) + os.sep


class Watch:
    """Watches one program, from its beginning on."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        """Begin.

        Args:
            tell: is called with each note, once, as soon as it is taken: the program may end soon.
        """
        self._tell = tell
        self._told: set[str] = set()
        self._asking = False
        self._originals = {name: getattr(builtins, name) for name in _USED} | {"loads": json.loads}
        sys.addaudithook(self._hear)

    def _note(self, what: str) -> None:
        if what not in self._told:
            self._told.add(what)
            self._tell(what)

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "object.__getattr__":
            if args[1] not in _FRAME_ATTRIBUTES:
                return
            what = args[1]
        elif event in _EVENTS or event.startswith("ctypes."):
            what = event
        else:
            return
        if not self._asking:
            self._asking = True  # this is an event of its own
            file = sys._getframe(1).f_code.co_filename
            self._asking = False
            # Modules of the library look for their callers' names, as `namedtuple` does.
            if not file.startswith(_LIBRARY) or (
                event == "sys._getframe" and file.endswith(_HANDS_OUT_FRAMES)
            ):
                self._note(what)

    def look_at(self, value: Any) -> None:
        """Note types within a function's result, which equalled what was expected, that JSON has not."""
        with contextlib.suppress(Exception):  # what is odd enough to fail here has been noted
            self._look_at(value)

    def _look_at(self, value: Any) -> None:
        pending = [value]
        members: Iterable[Any]
        while pending:
            container = pending.pop()
            if type(container) in _MAPPINGS:
                members = [*container, *container.values()]
            elif type(container) in _CONTAINERS:
                members = container
            else:
                members = (container,)
            kinds = set(map(type, members))
            for kind in kinds - _PLAIN:
                module = sys.modules.get(kind.__module__)
                honest = kind.__module__ in _NUMBERS and getattr(module, kind.__name__, 0) is kind
                if not honest:
                    self._note(f"returned {kind.__name__!a}")
            if kinds - _ATOMS:
                pending.extend(x for x in members if type(x) in _NESTED and x is not container)

    def compare_names(self) -> None:
        """Note what was replaced of that which the comparison calls."""
        for name, original in self._originals.items():
            if getattr(json if name == "loads" else builtins, name, None) is not original:
                self._note(f"replaced {name}")
