"""The table of a sweep's jobs: each is made once, however many cells and sweeps' stages share it. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from valley.job import Job
from valley.job_file import identity_of_text
from valley.records import canonical_json
from valley.short_name import LETTERS

T = TypeVar("T")
MAX_LABEL = 120


class Settings:
    """A job's settings, and their canonical JSON, which is made once for all jobs that share it."""

    __slots__ = ("text", "value")

    def __init__(self, value: dict[str, Any], text: str | None = None) -> None:
        self.value = value
        self.text = canonical_json(value) if text is None else text


def roles_text(inputs: Mapping[str, Job]) -> str:
    """The identities of a job's inputs by role, as `identity_of_text` takes them."""
    return ",".join([f'"{role}":"{inputs[role].identity}"' for role in sorted(inputs)])


class JobTable:
    """The jobs made so far, by identity: a job is made after its inputs."""

    def __init__(self) -> None:
        self.jobs: dict[str, Job] = {}
        self._made: dict[tuple, Any] = {}

    def once(self, key: tuple, make: Callable[[], T]) -> T:
        """What `make` returns, made at the first call with this key.

        Keys hold the `id` of a section of a recipe: recipes that agree in a section share its object,
        and the cells keep it alive.
        """
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def job(
        self,
        kind: str,
        label: str,
        settings: Settings,
        inputs: dict[str, Job],
        roles: str,
        name: str,
        execution: dict[str, Any] | None = None,
        after: tuple[Job, ...] = (),
        slot: str = "",
        steps: int = 0,
        examples: int = 0,
        parameters: float | None = None,
    ) -> Job:
        """A job; the arguments that are not told here are the `Job`'s.

        Args:
            label: holds no character that a folder's name may not.
            roles: `roles_text` of the inputs.
            name: what the job is called in short, behind the letter of its kind.
        """
        identity = identity_of_text(kind, settings.text, roles)
        job = self.jobs.get(identity)
        if job is None:
            job = self.jobs[identity] = Job(
                kind,
                identity,
                label[:MAX_LABEL],
                settings.value,
                inputs,
                {} if execution is None else execution,
                after,
                slot,
                LETTERS[kind] + name,
                steps,
                examples,
                parameters,
            )
        return job

    def prepare(
        self,
        slot: str,
        label: str,
        value: dict[str, Any],
        inputs: dict[str, Job] | None = None,
        execution: dict[str, Any] | None = None,
    ) -> Job:
        """A preparation, which goes by its slot."""
        inputs = inputs or {}
        roles = roles_text(inputs)
        return self.job(
            "prepare", label, Settings(value), inputs, roles, f".{slot}", execution, slot=slot
        )
