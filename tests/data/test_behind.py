from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from valley.data import behind
from valley.data.behind import Behind


@pytest.mark.parametrize("at_once", [1, 10, 1 << 20])
def test_lines_are_written_in_their_order_and_summed(spaced, monkeypatch, at_once):
    monkeypatch.setattr(behind, "AT_ONCE_BYTES", at_once)
    threads = threading.active_count()
    lines = [b"%d\n" % number for number in range(100)]
    file = Behind(spaced / "x", checksum=True)
    for line in lines:
        file.write(line)
    assert file.checksum() == hashlib.sha256(b"".join(lines)).hexdigest()
    assert (spaced / "x").read_bytes() == b"".join(lines)
    file.close()
    assert threading.active_count() == threads


def test_a_full_disk_is_told():
    file = Behind(Path("/dev/full"), checksum=False)
    file.write(b"x" * 100_000)
    with pytest.raises(OSError, match="No space left"):
        file.flush()
    file.close()
