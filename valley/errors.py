"""The errors a user can cause, and how a command ends on one."""

from __future__ import annotations

import sys
from collections.abc import Callable

from valley.output import lead_nowhere, outlast_readers


class UserError(Exception):
    """Bad input. The message says where, what was found, what is allowed, and what to do."""


class Stopped(Exception):
    """The work did as a stop flag asked, between two steps. Begun again, it goes on from what it kept."""

    def __init__(
        self,
        step: int,
        steps: int,
        *,
        kept: int | None = None,
        gained: bool = True,
        fault: str = "",
    ) -> None:
        """Say where it stopped, and what of it is safe.

        Args:
            kept: the last step that is kept; None: this one.
            gained: whether that is a later one than this process went on from.
            fault: why this step is not kept, where it is not.
        """
        self.step = step
        self.steps = steps
        self.kept = step if kept is None else kept
        self.fault = fault
        self.gained = gained
        lost = f"; the step could not be kept ({fault}), so it goes on after step {self.kept}"
        super().__init__(f"stopped at step {step} of {steps}{lost if fault else ''}")


def exit_on_user_error(main: Callable[[], int], *, only_shows: bool = False) -> None:
    """Run a command's `main` and exit with its status; a `UserError` prints one message, status 2.

    Args:
        only_shows: whether there is no use in going on once nobody reads the output. All other commands
            do go on: their work is not undone, nor called a success, for a reader that has left.
    """
    if not only_shows:
        outlast_readers()
    try:
        status = main()
        if only_shows:
            sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except BrokenPipeError:
        if not only_shows:
            raise  # of a pipe of the work itself
        lead_nowhere(sys.stdout.fileno())  # `status.py --watch | head`
        status = 0
    sys.exit(status)
