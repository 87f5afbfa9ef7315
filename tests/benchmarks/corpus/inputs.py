"""Parts that the inputs of several problems are made of."""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Iterable
from typing import Any

Make = Callable[[random.Random, int], str]


def integers(rng: random.Random, count: int, low: int = -99, high: int = 999) -> list[int]:
    """That many integers between two bounds, both included."""
    return [rng.randint(low, high) for _ in range(count)]


def row(values: Iterable[Any]) -> str:
    """One line of values with blanks between."""
    return " ".join(map(str, values)) + "\n"


def counted(low: int = -99, high: int = 999) -> Make:
    """A line with n, and a line of n integers."""
    return lambda rng, size: f"{size}\n{row(integers(rng, size, low, high))}"


def rows(width: int, low: int = 1, high: int = 999) -> Make:
    """A line with n, and n lines of `width` integers."""
    return lambda rng, size: (
        f"{size}\n" + "".join(row(integers(rng, width, low, high)) for _ in range(size))
    )


def word(rng: random.Random, length: int, letters: str = string.ascii_lowercase) -> str:
    """A word of letters drawn from some."""
    return "".join(rng.choices(letters, k=length))


def grid(rng: random.Random, height: int, width: int, cells: str) -> str:
    """A line with both sizes, and the rows of the grid."""
    return f"{height} {width}\n" + "".join(f"{word(rng, width, cells)}\n" for _ in range(height))
