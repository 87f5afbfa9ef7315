"""Workers: threads that take programs from a queue, each with sandboxes of its own.

A thread is enough, since the work is done by the processes in its sandbox. They share the problems that
they are at, which are read when their first program is due: neither all problems nor all tests are held.
"""

from __future__ import annotations

import queue
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Generic, TypeVar

from valley.data.problems import Problem
from valley.evaluate.isolation import Isolation
from valley.evaluate.judge import Judge
from valley.evaluate.runners import Runners
from valley.evaluate.samples import Verdict

T = TypeVar("T")


class Judges:
    """The judges of the problems asked for last, made when asked for."""

    def __init__(self, problems: Mapping[str, Problem], room: int) -> None:
        self._problems = problems
        self._room = room
        self._lock = threading.Lock()
        self._held: OrderedDict[str, Judge] = OrderedDict()

    def of(self, problem_id: str) -> Judge:
        """A problem's judge.

        Raises:
            UserError: see `Judge.of`.
        """
        with self._lock:
            if problem_id not in self._held:
                while len(self._held) >= self._room:
                    self._held.popitem(last=False)
                self._held[problem_id] = Judge.of(self._problems[problem_id])
            self._held.move_to_end(problem_id)
            return self._held[problem_id]


class Workers(Generic[T]):
    """Does tasks in any order, at most `count` at a time."""

    def __init__(
        self,
        count: int,
        isolation: Isolation,
        do: Callable[[T, Runners], Verdict],
        *,
        reuse: bool = True,
    ) -> None:
        """Nothing is started yet.

        Args:
            reuse: whether a worker's programs share a sandbox; see `GradeConfig.reuse`.
        """
        self._count = count
        self._isolation = isolation
        self._do = do
        self._reuse = reuse

    def run(self, tasks: Sequence[T], done: Callable[[int, Verdict], None]) -> None:
        """Do all tasks, begun in their order.

        Args:
            done: called in this thread with a task's position and verdict, as each is finished.

        What a task or `done` raises is raised here; the tasks that others are at are given up, and have
        no verdict.
        """
        todo: queue.SimpleQueue[int] = queue.SimpleQueue()
        for i in range(len(tasks)):
            todo.put(i)
        finished: queue.SimpleQueue[tuple[int, Verdict] | BaseException] = queue.SimpleQueue()
        stop = threading.Event()

        def work() -> None:
            try:
                runners = Runners(self._isolation, renews=not self._reuse, given_up=stop.is_set)
                with closing(runners) as runner:
                    while not stop.is_set():
                        i = todo.get_nowait()
                        verdict = self._do(tasks[i], runner)
                        runner.end_program()
                        finished.put((i, verdict))
            except queue.Empty:
                return
            except BaseException as error:  # raised again in the caller's thread
                finished.put(error)

        threads = [threading.Thread(target=work) for _ in range(min(self._count, len(tasks)))]
        try:
            for thread in threads:
                thread.start()
            for _ in tasks:
                item = finished.get()
                if isinstance(item, BaseException):
                    raise item
                done(*item)
        finally:
            stop.set()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
