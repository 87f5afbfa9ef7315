from __future__ import annotations

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
{call}
for _ in range(30):
    texts = [bytearray(100_000) for _ in range(100)]
    del texts
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's heap")
def test_memory_that_was_freed_is_used_again():
    def faults(call: str) -> int:
        done = subprocess.run([sys.executable, "-c", FAULTS.format(call=call)], capture_output=True)
        return int(done.stdout)

    assert faults("from valley.heap import keep_freed; keep_freed()") < faults("") / 3
