"""Programs that attack the grader and its machine, and one run of them all that looks for harm.

An attack prints `harmed` where it finds that it has succeeded, which is the answer that its problem
expects: a verdict of `passed` is a hole. What it may come to instead stands beside it. Between any
two attacks an honest program is graded. Run as a script it tells what went wrong as JSON, so that
the same can be tried as another user:

    python tests/attacks.py FOLDER ISOLATION
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from valley.data.problems import Problem
from valley.evaluate.config import GradeConfig
from valley.evaluate.grade import check_programs
from valley.evaluate.watch import Watch

SECRET = "hunter2-valley"
REFUSED = ("wrong_answer",)
FAILED = ("wrong_answer", "runtime_error")
TRY = """
import os, sys, time, signal, socket, ctypes, resource
libc = ctypes.CDLL(None, use_errno=True)
end = time.monotonic() + 20  # no attack lasts for ever: it may be one that succeeds
def going():
    return time.monotonic() < end or os._exit(0)
def call(n, *a):
    return libc.syscall(ctypes.c_long(n), *[ctypes.c_long(x) if isinstance(x, int) else x for x in a])
def attempt(what):
    try:
        return what()
    except BaseException as error:
        sys.stderr.write(repr(error) + "\\n")
def spawn(what):
    pid = os.fork()
    if pid == 0:
        try:
            what()
        finally:
            os._exit(0)
    return pid
"""


def _(source: str, *statuses: str) -> tuple[str, tuple[str, ...]]:
    return TRY + source, statuses or REFUSED


def attacks(place: Place) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Each attack's source, and the statuses that it may come to."""
    outside, victim, parent = str(place.folder), place.victim.pid, os.getpid()
    pids = f"[{victim}, {parent}, {os.getppid()}, 1]"
    return {
        # what there is of the machine
        "fork bomb": _("while going():\n    attempt(os.fork)", "runtime_error", "time_limit", "memory_limit"),
        "fork bomb of daemons": _(
            "while going():\n    if attempt(os.fork) == 0:\n        attempt(os.setsid)",
            "runtime_error", "time_limit", "wrong_answer", "memory_limit", "output_limit",
        ),
        "threads without end": _(
            "import threading\nn = 0\n"
            "try:\n    while n < 5000:\n        threading.Thread(target=time.sleep, args=(9,), daemon=True).start()\n"
            "        n += 1\n    print('harmed')\nexcept RuntimeError:\n    print('refused', flush=True)\nos._exit(0)",
            "wrong_answer", "memory_limit", "runtime_error",
        ),
        "10 GB at once": _("x = bytearray(10 << 30)\nprint('harmed')", "memory_limit"),
        "10 GB bit by bit": _("x = []\nwhile going():\n    x.append(bytearray(1 << 20))", "memory_limit", "time_limit"),
        "30 children of 500 MB": _(
            "for _ in range(30):\n    spawn(lambda: (bytearray(b'x') * (500 << 20), time.sleep(30)))\n"
            "    time.sleep(0.002)\ntime.sleep(30)",
            "memory_limit", "time_limit", "runtime_error",
        ),
        "30 daemons of 500 MB": _(
            "def daemon():\n    os.setsid()\n    spawn(lambda: (bytearray(b'x') * (500 << 20), time.sleep(30)))\n"
            "for _ in range(30):\n    spawn(daemon)\ntime.sleep(30)",
            "memory_limit", "time_limit", "runtime_error",
        ),
        "shared memory of SysV": _(
            "if any(call(29, 0, 1 << 28, 0o1777) >= 0 for _ in range(20)):\n    print('harmed')"
        ),
        "files in memory": _(
            "fd = attempt(lambda: os.memfd_create('x'))\nif fd is not None:\n    print('harmed')"
        ),
        "output without end": _("while going():\n    print('x' * 9999)", "output_limit"),
        "errors without end": _("while going():\n    sys.stderr.write('x' * 9999)", "output_limit"),
        "errors by another descriptor": _(
            "fd = os.dup(2)\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "while going():\n    attempt(lambda: os.write(fd, b'x' * 99999))",
            "output_limit", "time_limit",
        ),
        "output by a daemon": _(
            "def daemon():\n    os.setsid()\n    while going():\n        os.write(1, b'x' * 9999)\n"
            "spawn(daemon)\ntime.sleep(30)",
            "output_limit",
        ),
        "result file without end": _(
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "for i in range(99):\n    attempt(lambda: os.write(3, b'x' * (1 << 20)))\n"
            "attempt(lambda: os.ftruncate(3, 1 << 40))",
            "output_limit", "wrong_answer",
        ),
        "the folder filled": _(
            "try:\n    for i in range(999):\n        with open(str(i), 'wb') as f:\n"
            "            f.write(bytes(1 << 20))\nexcept OSError:\n    print('full')",
            "wrong_answer", "output_limit", "time_limit",
        ),
        "10^6 small files": _(
            "try:\n    for i in range(10**6):\n        os.close(os.open(str(i), os.O_CREAT))\n"
            "    print('harmed')\nexcept OSError:\n    print('full')",
            "wrong_answer", "time_limit", "output_limit",
        ),
        "a deep tree": _(
            "for _ in range(3000):\n    os.mkdir('d')\n    os.chdir('d')\nprint('deep')",
            "wrong_answer", "time_limit",
        ),
        "a folder that is closed": _(
            "os.mkdir('a')\nopen('a/b', 'w').close()\nattempt(lambda: os.chmod('a', 0))\n"
            "attempt(lambda: os.chmod('.', 0))\nprint('closed')"
        ),
        "descriptors without end": _(
            "n = 0\ntry:\n    while n < 9000:\n        os.dup(0)\n        n += 1\n    print('harmed')\n"
            "except OSError:\n    print(n)"
        ),
        "pipes full of memory": _(
            "import fcntl\nfor _ in range(25):\n    r, w = os.pipe()\n"
            "    attempt(lambda: fcntl.fcntl(w, 1031, 1 << 20))\n    os.set_blocking(w, False)\n"
            "    attempt(lambda: os.write(w, bytes(1 << 20)))\nprint('held')"
        ),
        "sleep with all signals blocked": _(
            "signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\ntime.sleep(99)", "time_limit"
        ),
        "busy with all signals ignored": _(
            "for s in range(1, 65):\n    attempt(lambda: signal.signal(s, signal.SIG_IGN))\nwhile going(): pass",
            "time_limit",
        ),
        "busy in a process that no one waits for": _(
            "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\nr, w = os.pipe()\ndef busy():\n"
            "    while time.process_time() < 0.4: pass\n    os.write(w, b'x')\n"
            "for _ in range(3):\n    spawn(busy)\nn = 0\nwhile n < 3:\n    n += len(os.read(r, 3))\nprint('harmed')",
            "time_limit",
        ),
        "limits raised": _(
            "for limit in range(16):\n    soft, hard = resource.getrlimit(limit)\n"
            "    if hard != resource.RLIM_INFINITY:\n"
            "        try:\n            resource.setrlimit(limit, (hard + 1, hard + 1))\n            print('harmed')\n"
            "        except (ValueError, OSError):\n            pass"
        ),
        "deep recursion": _(
            "sys.setrecursionlimit(10**9)\ndef f(n):\n    return f(n + 1) + 1\nf(0)",
            "runtime_error", "memory_limit", "time_limit",
        ),
        "a crash in native code": _("ctypes.string_at(0)", "runtime_error"),
        "an abort": _("os.abort()", "runtime_error"),
        # files
        "writing outside": _(
            f"for place in ('/x', '/tmp/x', '/usr/x', '/etc/x', '/dev/x', '/dev/shm/x', '/root/x',\n"
            f"              '/var/tmp/x', {outside + '/x'!r}, {outside + '/secret'!r}):\n"
            "    if attempt(lambda: os.open(place, os.O_WRONLY | os.O_CREAT)) is not None:\n        print('harmed')"
        ),
        "writing in /proc/sys": _(
            "for name in ('kernel/core_pattern', 'kernel/hostname', 'vm/overcommit_memory', 'net/ipv4/ip_forward'):\n"
            "    if attempt(lambda: os.open('/proc/sys/' + name, os.O_WRONLY)) is not None:\n        print('harmed')"
        ),
        "reading what is there": _(
            f"for root in ({outside!r}, '/root', '/home', '/work', '/etc/shadow', '/tmp', '/var'):\n"
            "    attempt(lambda: os.listdir(root) and print('seen', root))\n"
            f"if attempt(lambda: open({outside + '/secret'!r}).read()) is not None:\n    print('harmed')",
        ),
        "the environment": _(
            f"if {SECRET!r} in str(os.environ) + str(os.popen('env').read()):\n    print('harmed')"
        ),
        "the parent's environment": _(
            f"for pid in {pids} + [os.getppid(), 'self', *(attempt(lambda: os.listdir('/proc')) or [])]:\n"
            "    for name in 'environ', 'cmdline', 'maps':\n"
            "        with_ = attempt(lambda: open(f'/proc/{pid}/{name}', 'rb').read()) or b''\n"
            f"        if b'hunter2' + b'-valley' in with_:\n            print('harmed')"
        ),
        "the parent's files": _(
            f"for pid in {pids} + [os.getppid()]:\n    for name in 'root', 'cwd', 'fd/0', 'fd/3', 'exe':\n"
            f"        for end in '', {outside + '/secret'!r}:\n"
            "            found = attempt(lambda: open(f'/proc/{pid}/{name}{end}', 'rb').read(99)) or b''\n"
            f"            if b'hunter2' in found:\n                print('harmed')"
        ),
        "symbolic links": _(
            f"os.symlink({outside!r}, 'out')\nos.symlink({outside + '/secret'!r}, 'secret')\n"
            "os.symlink('/proc/1/root', 'root')\n"
            "for name in 'out/secret', 'secret', 'out/x':\n"
            "    if attempt(lambda: open(name, 'r+').read()) is not None:\n        print('harmed')"
        ),
        "hard links": _(
            f"for target in ({outside + '/secret'!r}, '/etc/passwd', '/usr/bin/env', '/proc/self/exe'):\n"
            "    if attempt(lambda: os.link(target, 'link') or True):\n        print('harmed')"
        ),
        "a link in place of a folder": _(
            f"os.makedirs('a/b')\nos.rename('a', 'c')\nos.symlink({outside!r}, 'a')\nprint(os.listdir('.'))"
        ),
        "a set-uid file": _(
            "import shutil\nattempt(lambda: shutil.copy('/bin/sh', 'sh'))\nattempt(lambda: os.chmod('sh', 0o6755))\n"
            "attempt(lambda: os.setuid(0))\n"
            "if os.popen('./sh -p -c \"id -u\"').read().strip() not in ('', str(os.getuid())):\n    print('harmed')"
        ),
        "devices": _(
            "import stat\nif attempt(lambda: os.mknod('d', 0o666 | stat.S_IFBLK, os.makedev(254, 0)) or True):\n"
            "    if attempt(lambda: open('d', 'rb').read(9)):\n        print('harmed')"
        ),
        # network and other ways out
        "the network inside": _(
            f"for host in ('127.0.0.1', '::1'):\n"
            f"    if attempt(lambda: socket.create_connection((host, {place.port}), timeout=1)):\n        print('harmed')"
        ),
        "the network outside": _(
            "for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):\n"
            "    s = attempt(lambda: socket.socket(socket.AF_INET, kind))\n"
            "    if s:\n        s.settimeout(1)\n"
            "        if attempt(lambda: s.connect(('192.0.2.1', 53)) or True):\n            print('harmed')"
        ),
        "raw, packet and netlink sockets": _(
            "for family, kind in ((17, 3), (2, 3), (16, 3), (40, 1), (38, 5), (31, 3)):\n"
            "    if attempt(lambda: socket.socket(family, kind)):\n        print('harmed')"
        ),
        "an abstract socket": _(
            f"def send(kind):\n    a, b = socket.socketpair(socket.AF_UNIX, kind)\n"
            f"    a.sendmsg([b'x'], [], 0, {place.abstract!r})\n    return True\n"
            "for kind in (1, 2, 5):\n"
            f"    s = attempt(lambda: socket.socket(socket.AF_UNIX, kind))\n"
            f"    if s and attempt(lambda: s.connect({place.abstract!r}) or True):\n        print('harmed')\n"
            "    if kind == 2:\n        attempt(lambda: send(kind))"
        ),
        "descriptors passed on": _(
            "a, b = socket.socketpair()\nn = 0\nwhile n < 2000:\n"
            "    if attempt(lambda: socket.send_fds(a, [b'x'], [0, 1, 2, 3] * 8)) is None:\n        break\n    n += 1\n"
            "print('harmed' if n == 2000 else 'refused')"
        ),
        "typing into a terminal": _(
            "import fcntl\nfor fd in range(4):\n"
            "    if attempt(lambda: fcntl.ioctl(fd, 0x5412, b'x')) is not None:\n        print('harmed')\n"
            "if attempt(lambda: os.open('/dev/tty', os.O_RDWR)) is not None:\n    print('harmed')"
        ),
        # processes
        "signals to others": _(
            f"for pid in {pids}[:3] + [-{parent}, -{victim}]:\n    for s in (9, 19):\n"
            "        if attempt(lambda: os.kill(pid, s) or True):\n            print('harmed')"
        ),
        "signals to all": _(
            "os.setsid if False else None\nfor s in (19, 9):\n    attempt(lambda: os.kill(-1, s))",
            "wrong_answer", "runtime_error", "memory_limit",
        ),
        "signals to the driver": _(
            "for s in (19, 15, 2, 6, 9):\n    attempt(lambda: os.kill(os.getppid(), s))\ntime.sleep(0.1)\nprint('done')"
        ),
        "tracing": _(
            f"for pid in {pids} + [os.getppid()]:\n    for request in (16, 0x4206):\n"
            "        if libc.ptrace(request, pid, 0, 0) == 0:\n            print('harmed')"
        ),
        "the driver's memory": _(
            "for pid in (os.getppid(), 1):\n"
            "    if attempt(lambda: os.open(f'/proc/{pid}/mem', os.O_RDWR)) is not None:\n        print('harmed')\n"
            "    buffer = ctypes.create_string_buffer(64)\n"
            "    if call(310, pid, ctypes.byref(buffer), 1, ctypes.byref(buffer), 1, 0) > 0:\n        print('harmed')"
        ),
        "its own memory": _(
            "f = attempt(lambda: open('/proc/self/mem', 'r+b'))\n"
            "if f:\n    f.seek(id(sys.modules))\n    f.write(b'x' * 64)\n    f.flush()",
            "wrong_answer", "runtime_error",
        ),
        "the driver's descriptors": _(
            "for pid in (os.getppid(), 1):\n    for n in range(3, 12):\n"
            "        if attempt(lambda: os.open(f'/proc/{pid}/fd/{n}', os.O_RDWR)) is not None:\n            print('harmed')\n"
            "    held = attempt(lambda: os.pidfd_open(pid))\n"
            "    if held is not None and call(438, held, 3, 0) >= 0:\n        print('harmed')"
        ),
        "the driver's limits and priority": _(
            "pid = os.getppid()\n"
            "if attempt(lambda: resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, 3))):\n    print('harmed')\n"
            "if attempt(lambda: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)) or True):\n    print('harmed')\n"
            "if attempt(lambda: os.setpriority(os.PRIO_PROCESS, pid, 19) or True):\n    print('harmed')\n"
            "if attempt(lambda: os.setpriority(os.PRIO_USER, os.getuid(), 19) or True):\n    print('harmed')\n"
            "if attempt(lambda: os.sched_setaffinity(pid, {0}) or True):\n    print('harmed')",
        ),
        "daemons": _(
            "def daemon():\n    os.setsid()\n    for s in (1, 2, 15):\n        signal.signal(s, signal.SIG_IGN)\n"
            f"    spawn(lambda: os.execv('/bin/sleep', ['sleep', {place.mark!r}]))\n"
            "for _ in range(5):\n    spawn(daemon)\ntime.sleep(0.1)\nprint('gone')"
        ),
        "a subreaper's daemons": _(
            "libc.prctl(36, 1, 0, 0, 0)\nlibc.prctl(1, 0, 0, 0, 0)\n"
            f"spawn(lambda: (os.setsid(), spawn(lambda: os.execv('/bin/sleep', ['sleep', {place.mark!r}]))))\n"
            "time.sleep(0.1)\nprint('gone')"
        ),
        "signals by way of a descriptor": _(
            f"import fcntl\nfor pid in {pids}[:2] + [os.getppid()]:\n    a, b = socket.socketpair()\n"
            "    attempt(lambda: fcntl.fcntl(a, 10, 9))\n    attempt(lambda: fcntl.fcntl(a, 8, pid))\n"
            "    attempt(lambda: fcntl.fcntl(a, fcntl.F_SETFL, 0o20000))\n    attempt(lambda: b.send(b'x'))\n"
            "time.sleep(0.05)\nprint('sent')"
        ),
        "a group of its own": _(
            f"for pid in (os.getppid(), {parent}):\n    attempt(lambda: os.setpgid(0, os.getpgid(pid)))\n"
            "    attempt(lambda: os.killpg(os.getpgid(pid), 9))\n    attempt(lambda: os.kill(0, 18))\nprint('x')",
            "wrong_answer", "memory_limit",
        ),
        "a first thread that ends": _(
            "import threading\ndef go():\n    x = []\n    while going():\n        x.append(bytearray(b'x') * (1 << 20))\n"
            "for _ in range(6):\n    spawn(lambda: (threading.Thread(target=go).start(), call(60, 0)))\ntime.sleep(30)",
            "memory_limit", "time_limit", "runtime_error",
        ),
        "a child of the driver": _(
            "pid = call(56, 0x8000 | 17, 0, 0, 0, 0)\nif pid == 0:\n    os.setsid()\n    time.sleep(60)\n"
            "print('x', pid > 0)"
        ),
        # the kernel's rarer parts
        "pages held in pipes": _(
            "r, w = os.pipe()\nb = ctypes.create_string_buffer(4096)\n"
            "v = (ctypes.c_void_p * 2)(ctypes.addressof(b), 4096)\n"
            "if call(278, w, ctypes.byref(v), 1, 0) >= 0:\n    print('harmed')"
        ),
        "calls of 32 bits": _(
            "import mmap, platform\n"
            "m = mmap.mmap(-1, 4096, prot=7)\nm.write(bytes.fromhex('53b814000000cd805bc3'))\n"  # getpid
            "f = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))\n"
            "if platform.machine() == 'x86_64' and f() > 0:\n    print('harmed')",
            "wrong_answer", "runtime_error",
        ),
        "new namespaces": _(
            "for flag in (0x10000000, 0x20000, 0x40000000, 0x20000000):\n"
            "    if libc.unshare(flag) == 0:\n        print('harmed')\n"
            "    pid = call(56, flag | 17, 0, 0, 0, 0)\n"
            "    if pid == 0:\n        os._exit(0)\n    if pid > 0:\n        print('harmed')\n"
            "    if call(435, ctypes.create_string_buffer(flag.to_bytes(8, 'little') + bytes(80)), 88) >= 0:\n        os._exit(0)",
        ),
        "mounts": _(
            "os.mkdir('m')\n"
            "if libc.mount(b'tmpfs', b'm', b'tmpfs', 0, None) == 0 or libc.umount2(b'/proc', 2) == 0:\n    print('harmed')\n"
            "if libc.mount(None, b'/', None, 32 | 4096, None) == 0 or libc.chroot(b'/box') == 0:\n    print('harmed')"
        ),
        "io_uring, bpf, perf, userfaultfd, keys": _(
            "b = ctypes.create_string_buffer(256)\n"
            "for n, a in ((425, (8, b)), (321, (0, b, 48)), (298, (b, 0, -1, -1, 0)), (323, (0,)), (250, (0, -3, 1)),\n"
            "             (304, (0, b, 0)), (246, (0, 0, 0, 0)), (175, (b, 9, b)), (312, (1, 1, 0, 0, 0))):\n"
            "    if call(n, *a) >= 0:\n        print('harmed', n)"
        ),
        "the other calls of the processor": _(
            "for n in (0x40000000 + 101, 0x40000000 + 39, 600):\n"
            "    if call(n, 0, 0, 0, 0) >= 0:\n        print('harmed')"
        ),
        # the verdict
        "an end before the answer": _("print('harmed')\nos._exit(0)"),  # nothing was flushed
        "frames": _(
            "f = sys._getframe()\nfound = []\nwhile f:\n    found += [repr(f.f_locals), repr(f.f_globals)]\n    f = f.f_back\n"
            "import gc\nfound += [repr(o)[:2000] for o in gc.get_objects() if isinstance(o, (dict, list, tuple, bytes))]\n"
            "if any('har' + 'med' in text.replace('har\\' + \\'med', '') and 'expected' in text for text in found):\n"
            "    print('har' + 'med')"
        ),
        "a forged result": _(
            "os.write(3, b'R\"harmed\"')\nos.write(3, b'Rharmed')\nos._exit(0)"
        ),
        "a forged fault of the sandbox": _("os.write(3, b'I')\nos._exit(1)", "runtime_error"),
        "a forged fault of the syntax": _(
            "os.write(3, b'S')\nos._exit(1)", "syntax_error", "runtime_error"
        ),
        "a forged reply": _(
            "for fd in range(3, 64):\n"
            "    s = attempt(lambda: socket.socket(fileno=os.dup(fd)))\n"
            "    if s:\n        attempt(lambda: s.send(b'0 0 1 0.0'))\n        attempt(lambda: s.recv(99, 64))\n"
            "    attempt(lambda: os.write(fd, b'0 0 1 0.0'))\nprint('sent')",
        ),
        "descriptors closed and doubled": _(
            "os.dup2(0, 3)\nos.dup2(3, 1)\nos.closerange(4, 64)\nos.dup2(2, 0)\nprint('x')",
            "runtime_error", "wrong_answer",
        ),
        "the input read twice": _(
            "a = sys.stdin.read()\nb = attempt(lambda: open('/dev/stdin').read()) if False else ''\n"
            "attempt(lambda: os.lseek(0, 0, 0))\nb += os.read(0, 99).decode()\n"
            "print('harmed' if b else 'once')"
        ),
        "its own standard files opened for the other way": _(
            "os.set_blocking(1, False)\nfd = attempt(lambda: os.open('/proc/self/fd/1', os.O_RDONLY | os.O_NONBLOCK))\n"
            "print('x', flush=True)\nif fd is not None:\n    attempt(lambda: os.read(fd, 99))\nprint('end')"
        ),
        "a name that no one can read": _("print(open('\\udcff\\0'))", "runtime_error"),
        "an error that cannot be shown": _(
            "class E(Exception):\n    def __str__(self):\n        os._exit(0)\n"
            "sys.excepthook = None\nraise E", "runtime_error", "wrong_answer",
        ),
        "an exit that never ends": _(
            "import atexit, threading\natexit.register(time.sleep, 99)", "time_limit"
        ),
    }  # fmt: skip


CROSS = {
    "a module for the next one": (
        "import os\nfor name in ('bisect', 'heapq', 'random', 'site', 'sitecustomize', 'json'):\n"
        "    with open(name + '.py', 'w') as f:\n        f.write('print(\"harmed\")')\n"
        "import sys, builtins\nbuiltins.int = lambda *_: 'harmed'\nsys.path.insert(0, '/box')\nprint(1)",
        "import random, site, bisect, os\nprint(len(os.listdir('.')))\nimport heapq, json",
    ),
    "a file for the next one": (
        "import os\nfor place in ('.', '/box', '/tmp', '/dev/shm', '/var/tmp', '/dev/mqueue'):\n    try:\n"
        "        open(place + '/left', 'w').write('harmed')\n    except OSError:\n        pass",
        "for place in ('.', '/box', '/tmp', '/dev/shm', '/var/tmp'):\n    try:\n"
        "        print(open(place + '/left').read())\n    except OSError:\n        pass",
    ),
    "a process for the next one": (
        "import os, time, signal\nfor _ in range(3):\n    if os.fork() == 0:\n        os.setsid()\n"
        "        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))\n        for _ in range(500):\n            try:\n"
        "                open('left', 'w').write('harmed')\n                time.sleep(0.01)\n"
        "            except OSError:\n                pass\ntime.sleep(0.1)",
        "import os, time\ntime.sleep(0.1)\nprint('harmed' if os.listdir('.') else 'nothing')",
    ),
    "a name of the terminal, mask and limits": (
        "import os, resource, signal\nos.umask(0o777)\nos.nice(19)\nos.chdir('/')\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (5, 5))\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)",
        "import os, resource, signal\nif (os.nice(0) == 19 and False) or os.umask(0) == 0o777 or "
        "resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 5 or os.getcwd() == '/':\n    print('harmed')",
    ),
}
"""Pairs of programs, the second of which prints `harmed` where it meets what the first one left."""


class Place:
    """What the attacks aim at: a secret file, a process with a secret, a listener; nothing is harmed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = f"86399.{os.getpid()}"
        self.faults: list[str] = []
        (folder / "secret").write_text(SECRET)
        (folder / "secret").chmod(0o600)
        os.environ["VALLEY_TEST_SECRET"] = SECRET
        self.victim = subprocess.Popen(["sleep", "600"], start_new_session=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.abstract = f"\0valley-test-{os.getpid()}"
        self._abstract = [self._bound(kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM)]
        self._before = self._state()
        self._most_bytes = 0
        self._over = threading.Event()
        self._memory = threading.Thread(target=self._measure)
        self._memory.start()

    def _bound(self, kind: int) -> socket.socket:
        bound = socket.socket(socket.AF_UNIX, kind)
        bound.bind(self.abstract if kind == socket.SOCK_STREAM else self.abstract + "d")
        if kind == socket.SOCK_STREAM:
            bound.listen()
        return bound

    def _measure(self) -> None:
        watch = Watch(os.getpid(), 1 << 60, 1e9)
        while not self._over.wait(0.05):
            held = sum(task.memory_bytes for task in watch._tasks())
            self._most_bytes = max(self._most_bytes, held)

    def _state(self) -> dict[str, object]:
        return {
            "mounts": Path("/proc/self/mounts").read_text(),
            "host name": socket.gethostname(),
            "segments": Path("/proc/sysvipc/shm").read_text().count("\n"),
            "core pattern": Path("/proc/sys/kernel/core_pattern").read_text(),
            "files": sorted(path.name for path in self.folder.iterdir()),
            "priority": os.getpriority(os.PRIO_PROCESS, os.getpid()),
            "written": [
                place for place in ("/x", "/tmp/x", "/usr/x", "/etc/x", "/dev/shm/x", "/var/tmp/x")
                if os.path.exists(place)
            ],
        }  # fmt: skip

    def close(self) -> None:
        """Look for harm, and tell it in `faults`."""
        self._over.set()
        self._memory.join()
        del os.environ["VALLEY_TEST_SECRET"]
        if self._most_bytes > 8 << 30:  # one attack alone would hold 15 GB
            self.faults.append(f"the programs held {self._most_bytes >> 20} MiB")
        for name, value in self._state().items():
            if value != self._before[name]:
                self.faults.append(f"{name}: {value} now, {self._before[name]} before")
        if (self.folder / "secret").read_text() != SECRET:
            self.faults.append("the secret has changed")
        if self.victim.poll() is not None:
            self.faults.append("the other process was killed")
        self.victim.kill()
        self.victim.wait()
        for listener in (self._listener, *self._abstract):
            listener.settimeout(0)
            with listener:
                try:
                    listener.recv(9) if listener.type == socket.SOCK_DGRAM else listener.accept()
                except BlockingIOError:
                    continue
                self.faults.append(f"a connection to {listener}")
        deadline = time.monotonic() + 5
        while (left := self._left()) and time.monotonic() < deadline:
            time.sleep(0.02)
        self.faults += [f"left running: {line}" for line in left]

    def _left(self) -> list[str]:
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                line = (process / "cmdline").read_bytes().decode(errors="replace")
                parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if self.mark in line or (parent == os.getpid() and "driver.server" in line):
                found.append(line.replace("\0", " "))
        return found


@contextmanager
def placed(folder: Path) -> Iterator[Place]:
    """A place, which has looked for harm when the context is left."""
    place = Place(folder)
    try:
        yield place
    finally:
        place.close()


def problem(stdin: str, stdout: str, time_limit_s: float) -> Problem:
    """A problem of one test."""
    return Problem(
        id=f"of {stdout}", source="test", statement="", starter_code="", kind="stdin", function=None,
        tests=[{"input": stdin, "output": stdout}], time_limit_s=time_limit_s, memory_limit_mib=1024,
        difficulty="", date="",
    )  # fmt: skip


def attacked(folder: Path, isolation: str, *, reuse: bool = True) -> list[str]:
    """Grade all the attacks in one isolation; what went wrong, an empty list if nothing did."""
    harm, honest = problem("1\n", "harmed\n", 0.5), problem("2 3\n", "5\n", 10.0)
    config = GradeConfig(
        sandbox=isolation, reuse=reuse, wall_limit_factor=1.0, output_limit_kib=1024
    )
    with placed(folder) as place:
        table = attacks(place)
        programs = []
        for source, _ in table.values():
            programs += [(harm, source), (honest, "a, b = map(int, input().split())\nprint(a + b)")]
        verdicts = check_programs(programs, config, workers=8)
        pairs = [(harm, source) for pair in CROSS.values() for source in pair]
        crossed = check_programs(pairs, config)
    faults = list(place.faults)
    for number, (name, (_, statuses)) in enumerate(table.items()):
        attack, after = verdicts[2 * number].status, verdicts[2 * number + 1].status
        if isolation == "rlimits":  # all sandboxes of a user share one count of processes
            statuses += ("runtime_error",)
        if attack not in statuses:
            faults.append(f"{name}: {attack} found, {' or '.join(statuses)} expected")
        if after != "passed":
            faults.append(f"{name}: {after} for the honest program after it")
    for number, name in enumerate(CROSS):
        for verdict in crossed[2 * number : 2 * number + 2]:
            if verdict.status not in FAILED:
                faults.append(f"{name}: {verdict.status}")
    return faults


if __name__ == "__main__":
    print(json.dumps(attacked(Path(sys.argv[1]), sys.argv[2])))
