"""Processes that do long tasks, one each at a time; one that dies takes only its task with it.

A :class:`concurrent.futures.ProcessPoolExecutor` breaks as a whole when one of its processes dies, and lets them live
on when their parent is killed. Here a death is the answer to one task, and whoever loses its parent ends.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, TypeVar

from automl_core.errors import InputError, SizewiseError

__all__ = ["Failed", "each"]

Task = TypeVar("Task")
Result = TypeVar("Result")

_SPAWN = multiprocessing.get_context("spawn")  # a fork of a process with threads or a loaded library can hang


@dataclass(frozen=True)
class Failed:
    """A task that gave no result: it raised, or its process died; ``reason`` says what happened."""

    reason: str


class _Worker(Generic[Task, Result]):
    """A process with a line to it."""

    def __init__(self, do: Callable[[Task], Result]) -> None:
        self.line, theirs = _SPAWN.Pipe()
        self._process = _SPAWN.Process(target=_serve, args=(do, theirs), name="study")
        self._process.start()
        theirs.close()

    def end(self) -> None:
        """End it now."""
        self._process.kill()
        self._process.join()
        self.line.close()

    def death(self) -> Failed:
        """How it died."""
        self._process.join()
        status = self._process.exitcode or 0
        self.line.close()
        how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        return Failed(f"its process {how}")


def each(do: Callable[[Task], Result], tasks: Iterable[Task], jobs: int) -> Iterator[tuple[Task, Result | Failed]]:
    """Do every task, ``jobs`` at a time, each in a process; yields them as they are done.

    Processes are used again for the next task, and are ended when the iterator is closed.

    Args:
        do: a function of a module, so that it pickles; so must tasks and results.
        tasks: begun in this order.
        jobs: processes.

    Raises:
        InputError: ``jobs`` is below 1.
    """
    if jobs < 1:
        raise InputError(f"jobs must be at least 1, but is {jobs}", remedy="give the number of studies to run at once")
    waiting = deque(tasks)
    idle: list[_Worker[Task, Result]] = []
    busy: dict[Any, tuple[_Worker[Task, Result], Task]] = {}
    try:
        while waiting or busy:
            while waiting and len(busy) < jobs:
                begun = not idle
                worker = _Worker(do) if begun else idle.pop()
                busy[worker.line] = worker, waiting[0]
                try:
                    worker.line.send(waiting[0])
                except OSError:  # it is dead
                    if not begun:  # it died idle, of no task: another one takes this
                        del busy[worker.line]
                        worker.end()
                        continue
                waiting.popleft()
            for line in wait(list(busy)):
                worker, task = busy[line]
                try:
                    answer = worker.line.recv()
                except (EOFError, OSError):
                    answer = worker.death()
                else:
                    idle.append(worker)
                del busy[line]
                yield task, answer
    finally:
        for worker in [*idle, *(worker for worker, _ in busy.values())]:
            worker.end()


def _serve(do: Callable[[Any], Any], line: Connection) -> None:
    """The life of a process: Ctrl-C is its parent's business, and it does not outlive it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            task = line.recv()
        except EOFError:
            return
        try:
            answer = do(task)
        except Exception as error:  # the boundary of the process: the parent decides what to make of it
            answer = Failed(_in_words(error))
        line.send(answer)


def _in_words(error: Exception) -> str:
    """Ours by what it says, another's with the place that raised it."""
    if isinstance(error, SizewiseError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
