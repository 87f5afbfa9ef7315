"""Behind: a file that another thread writes, and takes the checksum of, while the next lines are made."""

from __future__ import annotations

import hashlib
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

AT_ONCE_BYTES = 1 << 20


class Behind:
    """A new file. At most twice `AT_ONCE_BYTES`, and a line, are held.

    A write that fails, for want of room say, is raised by a later call.
    """

    def __init__(self, path: Path, checksum: bool) -> None:
        self._file = path.open("wb")
        self._hasher = hashlib.sha256() if checksum else None
        self._helper = ThreadPoolExecutor(1, thread_name_prefix="behind")
        self._sent: Future[None] | None = None
        self._lines: list[bytes] = []
        self._bytes = 0

    def write(self, line: bytes) -> None:
        """Add to the end of the file."""
        self._lines.append(line)
        self._bytes += len(line)
        if self._bytes >= AT_ONCE_BYTES:
            self._send()

    def flush(self) -> None:
        """Return when all is in the file."""
        self._send()
        self._wait()
        self._file.flush()

    def checksum(self) -> str:
        """The SHA-256 of all that was written."""
        self.flush()
        assert self._hasher is not None
        return self._hasher.hexdigest()

    def close(self) -> None:
        """Leave the file as it is."""
        self._helper.shutdown()
        self._file.close()

    def _send(self) -> None:
        self._wait()
        self._sent = self._helper.submit(self._put, self._lines)
        self._lines, self._bytes = [], 0

    def _wait(self) -> None:
        if self._sent is not None:
            self._sent.result()

    def _put(self, lines: list[bytes]) -> None:
        data = b"".join(lines)
        self._file.write(data)
        if self._hasher is not None:
            self._hasher.update(data)
