"""sbatch: a script is submitted, or refused in Slurm's words."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from valley.cluster import slurm
from valley.errors import UserError

COMMAND = ("sbatch", "--parsable")
TIMEOUT_S = 300  # it tries again for two minutes while the controller's queue is full


class Refused(UserError):
    """sbatch did not submit. `full` is whether a limit on queued jobs is why, so that it may later."""

    def __init__(self, said: str, full: bool) -> None:
        super().__init__(said)
        self.full = full


def submit(script: Path) -> str:
    """Submit a script with sbatch; the job's id.

    Options in the script win over the environment's SBATCH_* variables, as a grid wins over a site.

    Raises:
        Refused: what sbatch said.
        NoAnswer: it cannot be told whether the job was submitted; the queue will show it.
    """
    stated = re.findall(r"^#SBATCH --([a-z-]+)", script.read_text(encoding="utf-8"), re.M)
    stated_by = {f"SBATCH_{name.upper().replace('-', '_')}" for name in stated}
    stated_by |= {"SBATCH_TIMELIMIT", "SBATCH_ARRAY_INX", "SBATCH_WAIT"}
    env = {name: value for name, value in slurm.environment().items() if name not in stated_by}
    command = [*COMMAND, str(script)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, env=env)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _no_answer(str(error)) from error
    job_id = done.stdout.strip().split(";")[0]
    if done.returncode == 0 and job_id.isdigit():
        return job_id
    # All of it: what to do stands in a line before the last, or in a site's own words.
    lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
    said = " | ".join(lines) or f"status {done.returncode} and no message"
    if names_silence(said):
        raise _no_answer(said)
    raise Refused(said, names_full_queue(said))


def _no_answer(said: str) -> slurm.NoAnswer:
    return slurm.NoAnswer(
        f"sbatch had no answer ({said}); what has been submitted stays, and the next launch goes on from it"
    )


def names_silence(said: str) -> bool:
    """Whether sbatch's words say that the controller did not answer."""
    words = "unable to contact slurm|socket timed out|zero bytes were|connection refused"
    return bool(re.search(words, said, re.I))


def names_full_queue(said: str) -> bool:
    """Whether sbatch's words name a limit on how many jobs may be queued, and no other limit."""
    limit = re.search(r"\b(?:QOS|Assoc)\w*Limit\w*", said)
    if limit:
        return "Submit" in limit.group()
    return bool(re.search("job submit limit|queue full|unable to accept job|MaxJobCount", said))
