"""Do something again whenever a sweep's results have changed, until none is missing."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from valley.ledger import find_sweep
from valley.places import Ticket
from valley.store import Store

State = tuple[tuple[str, int], ...]
"""Each planned grading's folder, and when its result was written, in ns; 0 where there is none."""


def state_of(root: Path, sweep: str | None) -> State:
    """What the results were made of, without reading them."""
    ledger = find_sweep(root, sweep)
    store = Store(root, read_only=True)
    found = []
    for place in dict.fromkeys(row["jobs"]["grade"] for row in ledger.rows()):
        job = Ticket.of(place)
        path = store.folder("grade", job.label, job.identity) / "result.json"
        try:
            found.append((place, path.stat().st_mtime_ns))
        except OSError:
            found.append((place, 0))
    return tuple(found)


def watch(root: Path, sweep: str | None, every_s: float, show: Callable[[], int]) -> int:
    """Call `show` now and after every change, until it says that nothing is missing, or Ctrl-C.

    Args:
        every_s: between looks.
        show: returns how many scores are missing.

    Returns:
        The exit status: 0, also of Ctrl-C, since every drawing before it is whole or was not begun.
    """
    seen: State | None = None
    try:
        while True:
            now = state_of(root, sweep)
            if now != seen:
                missing = show()
                seen = now
                if not missing:
                    return 0
                clock = datetime.now().strftime("%H:%M:%S")
                what = f"{missing} score{'' if missing == 1 else 's'} missing"
                print(f"{clock}: {what}; looking every {every_s:g} s", flush=True)
            time.sleep(every_s)
    except KeyboardInterrupt:
        print("stopped watching; the figures are as last named")
        return 0
