from __future__ import annotations

import os
import subprocess
import sys

from valley.processes import children_of, is_alive, process_start, this_process

# The kernel keeps 15 bytes, which end in the middle of a letter.
NAMED = "open('/proc/self/comm', 'wb').write('длинное'.encode() * 2); print(flush=True); input()"


def test_a_name_that_is_no_text_is_a_process_as_any_other():
    with subprocess.Popen(
        [sys.executable, "-c", NAMED], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        child.stdout.readline()
        assert child.pid in children_of(os.getpid())
        assert process_start(child.pid) is not None
        child.communicate(b"\n")
    assert child.pid not in children_of(os.getpid())
    assert process_start(child.pid) is None


def test_a_process_is_told_from_a_later_one_of_its_id():
    me = this_process()
    assert is_alive(me)
    assert is_alive({**me, "start": "1"}) is False
    assert is_alive({**me, "host": "elsewhere"}) is None
