"""Programs run as a plain Python would run them, and cannot do what the isolation forbids."""

import errno
import os
import resource
import site
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from valley.errors import UserError
from valley.evaluate.probe import find_isolation
from valley.evaluate.sandbox import Run, Sandbox, SandboxError

INPUT = "3\n10 20 30\nnaïve\n"
NEXT = "a, b = map(int, input().split())\nprint(a + b)"


def isolation(name):
    try:
        return find_isolation(name)
    except UserError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=["bwrap", "unshare", "rlimits"])
def sandbox(request):
    with Sandbox(isolation(request.param)) as started:
        started.name = request.param
        yield started


@pytest.fixture(scope="module")
def best():
    with Sandbox(find_isolation("auto")) as started:
        yield started


def run(sandbox, source, stdin="", function=None, **limits):
    """Run a program, and see that the next one is not disturbed by it."""
    values = {"cpu_limit_s": 5.0, "wall_limit_s": 20.0, "memory_limit_mib": 512} | limits
    values = {"output_limit_bytes": 1 << 20} | values
    outcome = sandbox.run(Run(source, stdin, function, **values))
    after = sandbox.run(Run(NEXT, "2 3\n", None, 5.0, 20.0, 512, 1 << 20))
    assert (after.stdout, after.exit_code, after.stderr) == (b"5\n", 0, "")
    return outcome


def plain_python(source, stdin, folder):
    """What an interpreter makes of the program: (stdout, exit status)."""
    path = folder / "a program.py"
    path.write_text(source)
    done = subprocess.run(
        [os.path.realpath(sys.executable), "-X", "utf8", str(path)],
        input=stdin.encode(),
        capture_output=True,
        cwd=folder,
        env={},
    )
    return done.stdout, done.returncode


# Those that LiveCodeBench's grader fails, and what else reads, writes or ends in its own way.
PROGRAMS = {
    "buffer_readline": "import sys\nr = sys.stdin.buffer.readline\nprint(int(r()), r().split(), r())",
    "iterate": "import sys\nfor line in sys.stdin:\n    print(line.strip()[::-1])",
    "from_import_iterate": "from sys import stdin\nprint([line for line in stdin])",
    "open_0": "print(open(0).read().upper())",
    "os_read": "import os\nprint(os.read(0, 5), os.read(0, 100))",
    "buffer_write": "import sys\nsys.stdout.buffer.write(b'a\\nb')",
    "input_then_read": "import sys\nprint(input())\nprint(sys.stdin.read().split())",
    "input_then_readlines": "import sys\nprint(input())\nprint(sys.stdin.readlines())",
    "global": "global n\nn = 1\ndef f():\n    global n\n    n += 1\nf()\nprint(n)",
    "quit": "print(1)\nquit()\nprint(2)",
    "exit": "print(1)\nexit(0)",
    "import_resource": "import resource\nprint(resource.RLIMIT_STACK)",
    "future": "from __future__ import annotations\ndef f(x: no_such_name): return x\nprint(f(4))",
    "star_import": "if True:\n    from math import *\nprint(floor(2.5))",
    "main_guard": "def f():\n    print('f')\nif __name__ == '__main__':\n    f()\nprint('end')",
    "buffer_readlines": "import sys\nprint(sys.stdin.buffer.readlines(), sys.stdin.buffer.read())",
    "line_ends": "import sys\nprint(repr(sys.stdin.read()))",
    "dev_stdin": "print(open('/dev/stdin').read())",
    "file_of_its_own": "out = open(1, 'w')\nout.write('not flushed')",
    "stdout_replaced": "import sys\nsys.stdout = open(1, 'w')\nprint('kept')",
    "stdout_wrapped": "import sys\nclass W:\n    def __init__(self, f):\n        self.write = f.write\n"
    "        self.flush = f.flush\nsys.stdout = W(sys.stdout)\nprint('kept')",
    "atexit": "import atexit\natexit.register(print, 'at exit')\nprint('end')",
    "thread": "import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(1 << 26)\n"
    "def f(n):\n    return n and 1 + f(n - 1)\n"
    "t = threading.Thread(target=lambda: print(f(50000)))\nt.start()",
    "imports": "import collections, heapq, bisect, decimal, fractions, datetime, itertools, typing\n"
    "print(decimal.Decimal(1) / 3, fractions.Fraction(2, 4))",
    "unicode": "print(input(), input(), input(), '—')",
    "no_input_left": "import sys\nsys.stdin.read()\nprint(repr(sys.stdin.readline()))",
    "pickle_own_class": "import pickle\nclass C: pass\nprint(type(pickle.loads(pickle.dumps(C()))))",
    "main_module": "import __main__\nx = 4\nprint(__main__.x, __name__)",
    "finalise": "class C:\n    def __del__(self): print('gone')\nc = C()",
    "set_order": "print(len({'a', 'b'}))",
    "os_exit_without_flush": "import os\nprint('lost')\nos._exit(0)",
    "os_exit_3": "import os\nprint('kept', flush=True)\nos._exit(3)",
    "sys_exit_3": "import sys\nprint(1)\nsys.exit(3)",
    "sys_exit_none": "import sys\nprint(1)\nsys.exit()",
    "sys_exit_message": "import sys\nsys.exit('bye')",
    "sys_exit_true": "import sys\nsys.exit(True)",
    "raises": "print(1)\nraise ValueError('no')",
    "end_of_file": "while True:\n    input()",
    "recursion": "def f(n):\n    return f(n + 1)\nprint(f(0))",
    "closed_stdout": "import sys\nsys.stdout.close()\nprint(1)",
    "closed_stdout_at_the_end": "import sys\nprint(1)\nsys.stdout.close()",
    "closed_descriptor": "import os\nprint(1)\nos.close(1)",
    "closed_everything": "import os\nprint(1, flush=True)\nos.closerange(0, 50)",
    "killed_itself": "import os\nos.kill(os.getpid(), 15)",
    "syntax": "print(1)\ndef f(:\n    pass",
    "null_byte": "print(1)\x00",
    "pipes": "import os, stat, sys\nfor f in sys.stdin, sys.stdout:\n"
    "    s = os.fstat(f.fileno())\n"
    "    print(stat.S_ISFIFO(s.st_mode), f.isatty(), f.seekable(), f.buffer.raw.seekable())\n"
    "print(os.fstat(0).st_size, open(0, closefd=False).seekable())",
    "seek": "import sys\nfor f in sys.stdin, sys.stdin.buffer, sys.stdout:\n    for do in (f.tell, lambda: f.seek(0)):\n"
    "        try:\n            print(do())\n        except Exception as e:\n            print(type(e), e)",
    "os_lseek": "import os\nos.lseek(0, 0, 0)",
    "input_of_its_end": "import os\nprint(os.read(0, 10**6), os.read(0, 10**6))",
    "own_modules": "import sys\nprint('driver' in sys.modules)\nimport driver",
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_a_plain_python(best, name, tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    stdin = INPUT.replace("\n", "\r\n") if name == "line_ends" else INPUT
    outcome = run(best, PROGRAMS[name], stdin)
    assert (outcome.stdout, outcome.exit_code) == plain_python(PROGRAMS[name], stdin, folder)
    assert outcome.syntax_error == (name in ("syntax", "null_byte"))


@pytest.mark.skipif(
    sys.version_info[:2] in ((3, 12), (3, 13)),
    reason="these end C recursion at a depth of their own",
)
def test_deep_recursion_in_the_main_thread(sandbox):
    source = (
        "import sys\nfrom functools import lru_cache\nsys.setrecursionlimit(10**6)\n"
        "@lru_cache(None)\ndef f(n):\n    return 0 if n == 0 else 1 + f(n - 1)\nprint(f(30000))"
    )
    outcome = run(sandbox, source)
    assert (outcome.stdout, outcome.exit_code) == (b"30000\n", 0)


def test_each_run_is_the_same():
    source = "import random\nprint(list({'a', 'b', 'c', 'd', 'e'}), random.random(), hash('a'))"
    outputs = set()
    for _ in range(2):
        with Sandbox(find_isolation("auto")) as sandbox:
            outputs |= {run(sandbox, source).stdout for _ in range(2)}
    assert len(outputs) == 1


FUNCTION_INPUT = '[3, 1, 2]\n"naïve"\n'


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        ("def f(a, b):\n    return [sorted(a), b]", b'[[1, 2, 3], "na\\u00efve"]'),
        ("class Solution:\n    def f(self, a, b):\n        return len(a)", b"3"),
        ("class Solution:\n    def g(self):\n        pass\ndef f(a, b):\n    return 4", b"4"),
        ("def f(a, b):\n    print('R[]', flush=True)\n    return (1, (2.5, None), True)", None),
        ("def f(a, b):\n    return 1\nif __name__ == '__main__':\n    input()", b"1"),
        (
            "def f(a, b):\n    return input.__name__\nimport sys\nassert not sys.stdin.read()",
            b'"input"',
        ),
    ],
)
def test_functions(best, source, answer):
    outcome = run(best, source, FUNCTION_INPUT, "f")
    assert outcome.exit_code == 0, outcome.stderr
    assert outcome.answer == (answer or b"[1, [2.5, null], true]")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def g(): pass", "defines no function 'f'"),
        ("def f(a, b):\n    return {1}", "set is not JSON serializable"),
        ("def f(a, b):\n    return f", "function is not JSON serializable"),
        ("def f(a):\n    return 1", "positional argument"),
        ("def f(a, b):\n    raise SystemExit(2)", ""),
        (
            "class A:\n    def __eq__(self, o): return True\ndef f(a, b): return A()",
            "A is not JSON",
        ),
        ("import os\ndef f(a, b):\n    os._exit(0)", ""),
        ("import os\ndef f(a, b):\n    os.closerange(3, 60)\n    return 1", ""),
    ],
)
def test_functions_without_a_result(best, source, said):
    outcome = run(best, source, FUNCTION_INPUT, "f")
    assert outcome.answer is None
    assert said in outcome.stderr


def test_cpu_limit(sandbox):
    outcome = run(sandbox, "while True:\n    pass", cpu_limit_s=0.5)
    assert 0.5 < outcome.cpu_s < 3
    assert outcome.exit_code < 0
    assert not outcome.timed_out


def test_cpu_limit_cannot_be_ignored(best):
    source = (
        "import resource, signal\nfor s in set(range(1, 32)) - {9, 19}:\n"
        "    signal.signal(s, signal.SIG_IGN)\n"
        "try:\n    resource.setrlimit(resource.RLIMIT_CPU, (99, 99))\nexcept ValueError:\n    pass\n"
        "while True:\n    pass"
    )
    outcome = run(best, source, cpu_limit_s=0.5)
    assert 0.5 < outcome.cpu_s < 3


def test_wall_limit(sandbox):
    started = time.monotonic()
    source = (
        "import signal, time\nsignal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n"
        "print('asleep', flush=True)\ntime.sleep(1000)"
    )
    outcome = run(sandbox, source, wall_limit_s=0.7)
    assert outcome.timed_out
    assert outcome.stdout == b"asleep\n"
    assert outcome.cpu_s < 0.5
    assert 0.7 <= outcome.wall_s <= time.monotonic() - started < 10


@pytest.mark.parametrize(
    "source", ["x = [0] * (10 * 2**30 // 8)", "x = []\nwhile True:\n    x += x or [0]"]
)
def test_memory_limit(sandbox, source):
    outcome = run(sandbox, source, memory_limit_mib=256)
    assert outcome.memory_exceeded


def test_memory_error_that_is_handled(best):
    source = "try:\n    x = bytearray(10 << 30)\nexcept MemoryError:\n    print('no')"
    outcome = run(best, source)
    assert (outcome.stdout, outcome.memory_exceeded, outcome.exit_code) == (b"no\n", False, 0)


@pytest.mark.parametrize(
    "source",
    [
        "while True:\n    print('x' * 1000)",
        "import sys\nwhile True:\n    print('x' * 1000, file=sys.stderr)",
        "import os\nwhile True:\n    try:\n        os.write(1, b'x' * 1000)\n    except BaseException:\n        pass",
        "f = open('big', 'w')\nwhile True:\n    f.write('x' * 1000)",
        "print('x' * (1 << 20))",
    ],
)
def test_output_limit(sandbox, source):
    outcome = run(sandbox, source)
    assert outcome.output_exceeded
    assert len(outcome.stdout) <= 1 << 20


def test_output_below_its_limit(best):
    outcome = run(best, f"print('x' * {(1 << 20) - 1})")
    assert not outcome.output_exceeded
    assert len(outcome.stdout) == 1 << 20


def running(mark):
    """Ids of the processes on this machine with a mark in their command line."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def daemons(mark):
    """A program that leaves three processes behind, and prints how many of them run."""
    return f"""
import os, signal, sys, time
r, w = os.pipe()
for signal_ in (1, 2, 15):
    signal.signal(signal_, signal.SIG_IGN)
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(w, b"%d " % os.getpid())
            os.execv("/bin/sleep", ["sleep", "{mark}"])
        os._exit(0)
os.close(w)
pids = b""
while part := os.read(r, 99):  # until each has become another program
    pids += part
alive = 0
for pid in pids.split():
    os.kill(int(pid), 0)
    alive += 1
print(alive, flush=True)
"""


def test_nothing_survives_its_test(sandbox):
    mark = f"86399.{os.getpid()}{len(sandbox.name)}"
    assert run(sandbox, daemons(mark)).stdout == b"3\n"
    assert running(mark.encode()) == []


def test_nothing_survives_the_wall_limit(sandbox):
    mark = f"86399.{os.getpid()}1"
    outcome = run(sandbox, daemons(mark) + "time.sleep(100)", wall_limit_s=4.0)
    assert (outcome.stdout, outcome.timed_out) == (b"3\n", True)
    assert running(mark.encode()) == []


def test_files_do_not_reach_the_next_program(sandbox):
    source = (
        "import os\nos.makedirs('a/b')\nfor n in ('x', 'a/y', 'a/b/z'):\n    open(n, 'w').write(n)\n"
        "os.symlink('/usr', 'a/link')\nos.mkfifo('pipe')\nprint(sorted(os.listdir('.')))"
    )
    assert run(sandbox, source).stdout == b"['a', 'pipe', 'x']\n"
    assert run(sandbox, "import os\nprint(os.listdir('.'))").stdout == b"[]\n"
    assert Path("/usr/bin").is_dir()


def test_a_folder_that_cannot_be_emptied_ends_the_sandbox():
    source = "import os\nfor _ in range(1500):\n    os.mkdir('d')\n    os.chdir('d')\nprint('deep')"
    with Sandbox(find_isolation("auto")) as sandbox:
        outcome = sandbox.run(Run(source, "", None, 5.0, 20.0, 512, 1 << 20))
        assert outcome.stdout == b"deep\n"
        assert not sandbox.usable
        with pytest.raises(SandboxError):
            sandbox.run(Run(NEXT, "2 3\n", None, 5.0, 20.0, 512, 1 << 20))


def test_only_its_folder_can_be_written(tmp_path):
    there = tmp_path / "a secret"
    there.write_text("untouched")
    places = ["/x", "/tmp/x", "/usr/x", "/etc/x", "/dev/x", "/dev/shm/x", "/root/x", "/var/tmp/x"]
    places += ["/proc/sys/kernel/core_pattern", "/proc/self/comm", str(there), "x"]
    source = f"""
import os
for place in {places!r}:
    try:
        os.close(os.open(place, os.O_WRONLY | os.O_CREAT))
        print(place)
    except OSError:
        pass
try:
    print(open({str(there)!r}).read())
except OSError:
    print("unseen")
"""
    with Sandbox(isolation("bwrap")) as sandbox:
        assert run(sandbox, source).stdout == b"x\nunseen\n"
    assert there.read_text() == "untouched"


@pytest.mark.parametrize("name", ["bwrap", "unshare"])
def test_no_network(name):
    with socket.create_server(("127.0.0.1", 0)) as server, Sandbox(isolation(name)) as sandbox:
        server.settimeout(0.0)
        port = server.getsockname()[1]
        source = (
            "import socket\ntry:\n"
            f"    socket.create_connection(('127.0.0.1', {port}), timeout=5)\n    print('connected')\n"
            "except OSError:\n    print('refused')"
        )
        assert run(sandbox, source).stdout == b"refused\n"
        with pytest.raises(BlockingIOError):
            server.accept()


def test_the_environment_is_empty(sandbox, monkeypatch):
    monkeypatch.setenv("VALLEY_TEST_SECRET", "hunter2")
    source = "import os, subprocess\nprint(dict(os.environ))"
    with Sandbox(isolation(sandbox.name)) as fresh:
        assert run(fresh, source).stdout == b"{}\n"


@pytest.mark.parametrize("name", ["bwrap", "unshare"])
def test_other_processes_are_not_seen(name):
    other = subprocess.Popen(["sleep", "60"], env={"VALLEY_TEST_SECRET": "hunter2"})
    try:
        source = """
import os
for name in os.listdir("/proc"):
    if name.isdigit():
        try:
            print(open(f"/proc/{name}/environ").read())
        except OSError:
            pass
print("looked")
"""
        with Sandbox(isolation(name)) as sandbox:
            outcome = run(sandbox, source)
        assert b"looked" in outcome.stdout
        assert b"hunter2" not in outcome.stdout
    finally:
        other.kill()
        other.wait()


def test_a_driver_that_is_killed_is_the_sandboxes_fault():
    with Sandbox(find_isolation("auto")) as sandbox:
        killer = threading.Timer(0.3, os.kill, (sandbox._driver.pid, 9))
        killer.start()
        with pytest.raises(SandboxError):
            sandbox.run(Run("import time\ntime.sleep(100)", "", None, 5.0, 20.0, 512, 1 << 20))
        killer.join()
        with pytest.raises(SandboxError):
            sandbox.run(Run(NEXT, "2 3\n", None, 5.0, 20.0, 512, 1 << 20))


@pytest.mark.parametrize("name", ["bwrap", "unshare", "rlimits"])
def test_processes_and_folders_end_with_the_sandbox(name, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    found, before = isolation(name), descendants()
    with Sandbox(found) as sandbox:
        run(sandbox, "open('left', 'w')")
        started = descendants() - before
    assert started
    deadline = time.monotonic() + 5
    while any(Path(f"/proc/{pid}").exists() for pid in started) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]
    assert list(tmp_path.iterdir()) == []


def descendants():
    """Ids of the processes that come from this one."""
    parents = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            stat = (process / "stat").read_text()
        except OSError:
            continue
        parents[int(process.name)] = int(stat.rpartition(")")[2].split()[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {os.getpid()}


def test_an_isolation_that_does_not_work_is_a_mistake(monkeypatch, tmp_path):
    for name in ("bwrap", "unshare"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'not permitted here' >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    find_isolation.cache_clear()
    try:
        with pytest.raises(UserError, match="not permitted here"):
            find_isolation("bwrap")
    finally:
        find_isolation.cache_clear()


@pytest.mark.parametrize("name", ["bwrap", "unshare"])
def test_installed_packages_are_not_seen(name):
    """Among them may be one with the problems' answers."""
    folders = [
        f for f in site.getsitepackages([os.path.realpath(sys.base_prefix)]) if os.listdir(f)
    ]
    source = f"import os\nprint(sum(len(os.listdir(f)) for f in {folders!r} if os.path.isdir(f)))"
    with Sandbox(isolation(name)) as sandbox:
        assert run(sandbox, source).stdout == b"0\n"


def test_limits_alone_are_refused_unless_they_are_asked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    find_isolation.cache_clear()
    try:
        with pytest.raises(UserError, match=r"install bubblewrap.*sandbox: rlimits"):
            find_isolation("auto")
    finally:
        find_isolation.cache_clear()


def test_a_process_that_holds_many_files_can_end_its_sandboxes():
    """`select` takes no descriptor above 1,023."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2048:
        pytest.skip("no more than so few files may be open here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, hard))
    held = []
    try:
        while not held or held[-1] < 1100:
            held.append(os.dup(0))
        with Sandbox(find_isolation("auto")) as started:
            run(started, "print(1)")
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_no_file_for_what_a_driver_says_is_the_sandboxes_fault(monkeypatch):
    def refuse():
        raise OSError(errno.EMFILE, "Too many open files")

    isolation = find_isolation("auto")
    monkeypatch.setattr("valley.evaluate.started.tempfile.TemporaryFile", refuse)
    with pytest.raises(SandboxError, match="Too many open files"):
        Sandbox(isolation)
