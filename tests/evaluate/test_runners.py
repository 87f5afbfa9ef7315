from __future__ import annotations

from contextlib import closing

import pytest

from valley.evaluate.probe import find_isolation
from valley.evaluate.runners import ATTEMPTS, Runners
from valley.evaluate.sandbox import Run, SandboxError

WHERE = Run("import os; print(os.readlink('/proc/self/ns/pid'))", "", None, 5, 20, 512, 1 << 16)


def test_checkers_run_where_no_program_has_been():
    isolation = find_isolation("auto")
    if isolation.name == "rlimits":
        pytest.skip("no namespaces to tell sandboxes by")
    with closing(Runners(isolation)) as runners:
        programs = {runners.run(WHERE).stdout for _ in range(2)}
        checkers = {runners.ask(WHERE, lambda outcome: outcome.stdout) for _ in range(2)}
    assert len(programs) == len(checkers) == 1 and programs != checkers


def test_a_checker_that_fails_is_asked_again_in_a_new_sandbox():
    seen = []

    def read(outcome):
        seen.append(outcome.stdout)
        if len(seen) < ATTEMPTS:
            raise SandboxError("not yet")
        return "at last"

    with closing(Runners(find_isolation("auto"))) as runners:
        assert runners.ask(WHERE, read) == "at last"
        assert len(seen) == ATTEMPTS
        seen.clear()
        with pytest.raises(SandboxError, match="never"):
            runners.ask(WHERE, lambda outcome: _never())


def _never():
    raise SandboxError("never")


@pytest.mark.parametrize(("renews", "sandboxes"), [(False, 1), (True, 2)])
def test_a_program_has_a_sandbox_of_its_own_where_that_is_asked_for(renews, sandboxes):
    isolation = find_isolation("auto")
    seen = set()
    with closing(Runners(isolation, renews=renews)) as runners:
        for _ in range(2):
            # All tests of one program run in the same.
            of_one_program = {runners.run(WHERE).stdout for _ in range(3)}
            assert len(of_one_program) == 1
            seen |= of_one_program
            runners.end_program()
    assert len(seen) == sandboxes
