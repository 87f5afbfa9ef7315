"""A root of its own: an empty read-only file system with Python in it, and a small folder to write in."""

from __future__ import annotations

import os
from collections.abc import Sequence

from . import kernel

BOX_BYTES = 256 << 20
BOX_FILES = 20_000
"""How many files a program may have at once: each costs the kernel memory that no limit counts."""
_BASE = "/tmp"
_DEVICES = ("null", "zero", "full", "random", "urandom")
_LINKS = {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}
_NO_ACCESS_TIMES, _ST_RELATIME, _MS_RELATIME = 1024 | 2048, 4096, 1 << 21
_QUIET = kernel.MS_NOSUID | kernel.MS_NODEV


def build(paths: Sequence[str], hidden: Sequence[str], box: str, machine: str) -> None:
    """Leave this process's file system for one that holds `paths`, devices, /proc and the box.

    The folders `hidden` are empty but for the last of `paths`, which may be in one of them.

    It must be in a mount namespace and a pid namespace of its own, with the rights to mount.

    Raises:
        OSError: a mount was refused.
    """
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    held = {path: os.open(path, os.O_PATH) for path in paths if os.path.exists(path)}
    devices = {f"/dev/{name}": os.open(f"/dev/{name}", os.O_PATH) for name in _DEVICES}
    kernel.mount("tmpfs", _BASE, "tmpfs", _QUIET, "size=1m,mode=755")
    for path, fd in (devices | held).items():
        if path == paths[-1]:
            empty = [_BASE + folder for folder in hidden if os.path.isdir(_BASE + folder)]
            for folder in empty:
                kernel.mount("tmpfs", folder, "tmpfs", _QUIET, "size=64k,mode=755")
        _make(_BASE + path, os.path.isdir(f"/proc/self/fd/{fd}"))
        source = f"/proc/self/fd/{fd}"  # what the base has hidden is still to be had
        kernel.mount(source, _BASE + path, None, kernel.MS_BIND | kernel.MS_REC)
        if path in held:
            _read_only(_BASE + path)
        os.close(fd)
    for folder in empty:
        _read_only(folder)
    for name, end in _LINKS.items():
        os.symlink(f"/proc/self/fd{end}", f"{_BASE}/dev/{name}")
    _make(f"{_BASE}/proc", True)
    kernel.mount("proc", f"{_BASE}/proc", "proc", _QUIET | kernel.MS_NOEXEC)
    _read_only(f"{_BASE}/proc")
    _make(_BASE + box, True)
    mount_box(_BASE + box)
    os.chdir(_BASE)
    kernel.pivot_root_here(machine)
    _read_only("/")


def mount_box(box: str) -> None:
    """Mount a small folder to write in, which everyone inside may use and no one can remove.

    Raises:
        OSError: the mount was refused.
    """
    data = f"size={BOX_BYTES},nr_inodes={BOX_FILES},mode=777"
    kernel.mount("tmpfs", box, "tmpfs", _QUIET, data)


def _make(path: str, folder: bool) -> None:
    if folder:
        os.makedirs(path, exist_ok=True)
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))


def _read_only(path: str) -> None:
    """Remount read-only, with the flags kept that only root may take away."""
    held = os.statvfs(path).f_flag
    kept = held & (kernel.MS_NODEV | kernel.MS_NOEXEC | _NO_ACCESS_TIMES)
    kept |= _MS_RELATIME if held & _ST_RELATIME else 0
    flags = kernel.MS_REMOUNT | kernel.MS_BIND | kernel.MS_RDONLY | kernel.MS_NOSUID
    kernel.mount(None, path, None, flags | kept)
