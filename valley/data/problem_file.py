"""A file of problems that need not fit into memory: each is read when it is asked for.

A hundred tests of 100 KB make a problem of 10 MB, and a benchmark of them gigabytes. Only the ids and
where their lines stand are held.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from valley.data.problems import Problem
from valley.errors import UserError
from valley.records import iterate_places, parse_record


class ProblemFile(Mapping[str, Problem]):
    """The problems of a file by their ids, in the file's order. Each access parses its line anew."""

    def __init__(self, path: Path, check: Callable[[Problem], object] | None = None) -> None:
        """Read all lines once.

        Args:
            check: called with each problem; it raises what makes the file unusable, without the line.

        Raises:
            UserError: the file cannot be read, a line is no problem, or two have the same id.
        """
        self.path = path
        self._places: dict[str, tuple[int, int]] = {}
        for number, (offset, size, problem) in enumerate(iterate_places(path, Problem), start=1):
            where = f"{path}, line {number}"
            if problem.id in self._places:
                raise UserError(
                    f"{where}: problem {problem.id!r} is given twice; line {self._line(problem.id)} has it "
                    "too; leave one out"
                )
            if check is not None:
                try:
                    check(problem)
                except UserError as error:
                    raise UserError(f"{where}: {error}") from error
            self._places[problem.id] = offset, size

    def __getitem__(self, problem_id: str) -> Problem:
        """Read one problem; several threads may.

        Raises:
            KeyError: there is none of this id.
            UserError: the file was changed in the meantime.
        """
        offset, size = self._places[problem_id]
        where = f"{self.path}, problem {problem_id!r}"
        with self.path.open("rb") as file:
            file.seek(offset)
            problem = parse_record(where, file.read(size), Problem)
        if problem.id != problem_id:
            raise UserError(f"{where}: the file was changed while it was read; start again")
        return problem

    def where(self, problem_id: str) -> str:
        """How a message on a problem begins: with the file and the problem's line."""
        return f"{self.path}, line {self._line(problem_id)}: "

    def _line(self, problem_id: str) -> int:
        return list(self._places).index(problem_id) + 1

    def __contains__(self, problem_id: object) -> bool:
        return problem_id in self._places  # a mapping's own would read the problem

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)
