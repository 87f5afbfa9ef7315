"""Loops: whether a text that was cut off had come to repeat itself.

The definition is ours, in the spirit of the repetitions that Holtzman et al. 2020 count ("The Curious
Case of Neural Text Degeneration": a phrase that repeats at least three times up to the end). It goes by
characters, since a sample holds no tokens, and sees exact repetitions only: a text that counts up while
it repeats is no loop by it.
"""

from __future__ import annotations

TAIL_CHARACTERS = 3000
"""How far from the end is looked: the longest period that can be seen is a third of it."""
TIMES = 3
LEAST_CHARACTERS = 60
"""A loop covers at least this much, so that a row of dots at a text's end is none."""


def ends_in_loop(text: str) -> bool:
    """Whether a text ends in one passage, three times or more, of 60 characters in all or more.

    The last repetition may be cut anywhere.

    >>> ends_in_loop("Let me check. " + "Wait, that is wrong. " * 4 + "Wait, th")
    True
    >>> ends_in_loop("1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25")
    False
    """
    tail = text[-TAIL_CHARACTERS:][::-1]
    # The prefix function: border[i] is the longest proper prefix of tail[:i+1] that also ends it, and so
    # i + 1 - border[i] its smallest period.
    border = [0] * len(tail)
    length = 0
    for i in range(1, len(tail)):
        while length and tail[i] != tail[length]:
            length = border[length - 1]
        if tail[i] == tail[length]:
            length += 1
        border[i] = length
        covered = i + 1
        if covered >= LEAST_CHARACTERS and TIMES * (covered - length) <= covered:
            return True
    return False
