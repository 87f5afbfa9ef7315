"""Which isolation works on this machine: each is tried by running a program in it."""

from __future__ import annotations

import functools
import logging
from dataclasses import replace

from valley.errors import UserError
from valley.evaluate.isolation import Isolation, isolations
from valley.evaluate.sandbox import Run, Sandbox, SandboxError

log = logging.getLogger(__name__)


@functools.cache
def find_isolation(setting: str) -> Isolation:
    """The isolation that `setting` (see `GradeConfig.sandbox`) gives on this machine.

    Each candidate is tried by running a program in it, once per process.

    Raises:
        UserError: none of those allowed works.
    """
    faults = []
    for isolation in isolations():
        if setting != isolation.name and (setting != "auto" or isolation.name == "rlimits"):
            continue
        try:
            found = _probe(isolation)
        except SandboxError as error:
            if (fault := f"{isolation.name}: {error}") not in faults:
                faults.append(fault)
            continue
        log.info("programs run in isolation %s", found.layers)
        return found
    tried = "; ".join(faults) or "no such program is installed"
    if setting == "auto":
        raise UserError(
            "sandbox: auto does not work on this machine, which offers no namespaces to keep programs "
            "from its files, processes and network; install bubblewrap, or let this user make "
            "namespaces (docs/containment.md says how), or write sandbox: rlimits to do without them. "
            f"Tried: {tried}"
        )
    raise UserError(
        f"sandbox: {setting} does not work on this machine; allowed are auto, bwrap, unshare and "
        f"rlimits. Tried: {tried}"
    )


def _probe(isolation: Isolation) -> Isolation:
    with Sandbox(isolation) as sandbox:
        trial(sandbox)
    return replace(isolation, layers=sandbox.layers)


def trial(sandbox: Sandbox) -> None:
    """See that a program that is known to work does.

    Raises:
        SandboxError: it does not.
    """
    outcome = sandbox.run(Run("print(input())", "works\n", None, 10.0, 30.0, 512, 1 << 20))
    if outcome.stdout != b"works\n":
        raise SandboxError(f"a trial program ended with {outcome.exit_code}: {outcome.stderr}")
