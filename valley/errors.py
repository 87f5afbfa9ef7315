"""The errors a user can cause, and how a command ends on one."""

from __future__ import annotations

import sys
from collections.abc import Callable


class UserError(Exception):
    """Bad input. The message says where, what was found, what is allowed, and what to do."""


class Stopped(Exception):
    """The work did as a stop flag asked, between two steps. Begun again, it goes on from what it kept."""

    def __init__(self, step: int, steps: int, kept: bool) -> None:
        super().__init__(f"stopped at step {step} of {steps}")
        self.step = step
        self.steps = steps
        self.kept = kept
        """Whether this step was kept; else it begins again from an earlier one."""


def exit_on_user_error(main: Callable[[], int]) -> None:
    """Run a command's `main` and exit with its status; a `UserError` prints one message, status 2."""
    try:
        status = main()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        status = 2
    except BrokenPipeError:  # `launch.py --dry-run | head`
        sys.stderr.close()
        status = 0
    sys.exit(status)
