"""Ahead: what another thread makes while what it made before is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterator[T], count: int) -> Iterator[T]:
    """Yield the items in their order, up to `count` of them made before they are asked for.

    What making one raises is raised when it is its turn.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as helper:
        waiting = deque(helper.submit(next, items, None) for _ in range(count))
        while (item := waiting.popleft().result()) is not None:
            waiting.append(helper.submit(next, items, None))
            yield item
