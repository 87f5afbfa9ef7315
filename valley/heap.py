"""The heap: freed memory that the C library keeps for what comes next.

By default glibc hands the end of its heap back to the kernel once 128 KiB of it are free. Whoever makes and
drops texts of 50 KB by the hundred thousand then gets fresh pages for nearly each, zeroed by the kernel.
"""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES = 256 << 20
MAPPED_FROM_BYTES = 32 << 20
"""Larger objects have pages of their own, as ever; glibc takes no larger value."""


def keep_freed() -> None:
    """Have this process keep up to `KEPT_BYTES` that it has freed; without glibc nothing changes."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_MMAP_THRESHOLD, MAPPED_FROM_BYTES)
