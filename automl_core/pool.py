"""Evaluation of many requests at once, behind ``concurrent.futures.Executor``.

Requests are answered in order, and cut into chunks by the problem alone, never by the number of workers or by time,
unless it says that its chunks may be divided: what a study records does not depend on how many workers there were.
"""

from __future__ import annotations

import math
import multiprocessing
import pickle
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from types import TracebackType
from typing import Literal, TypeAlias

from automl_core.errors import EvaluationError, InputError, MissingError, SizewiseError
from automl_core.problem import Chunked, Divisible, Evaluation, Problem, Request

__all__ = ["Answer", "Pool"]

Answer: TypeAlias = Evaluation | EvaluationError
_Chunk: TypeAlias = Sequence[Request]

_WORTH_SECONDS = 0.1
"""Chunks that may be divided take about so long: enough to hide the exchange with a worker and what it finds cold after
it, and little to wait for at the end."""
_problem_of_worker: Problem | SizewiseError | None = None
"""The problem of this worker process, or why it cannot be loaded there: sent once, when the worker starts."""


def answer_chunk(problem: Problem, chunk: _Chunk) -> list[Answer]:
    """Evaluate a chunk; a request that gives no figures is answered by its error."""
    together = getattr(problem, "evaluate_chunk", None)
    if together is not None:
        return list(together(chunk))
    return [_answer(problem, request) for request in chunk]


def _answer(problem: Problem, request: Request) -> Answer:
    try:
        return problem.evaluate(*request)
    except EvaluationError as error:
        return error


def _start_worker(pickled: bytes) -> None:
    """Load the problem. An error here would break the pool, as a death does: it is kept for who asks first."""
    global _problem_of_worker
    try:
        _problem_of_worker = pickle.loads(pickled)
    except SizewiseError as error:
        _problem_of_worker = error
    except Exception as error:  # the boundary of the process: whatever a problem's own code raises
        _problem_of_worker = InputError(
            f"the problem cannot be loaded in a worker process: {type(error).__name__}: {error}",
            remedy="its class and all that it refers to must be there for every process of this machine to load",
        )


def _answer_in_worker(chunk: _Chunk) -> list[Answer]:
    if _problem_of_worker is None:
        raise RuntimeError("the worker was started without a problem")
    if isinstance(_problem_of_worker, SizewiseError):
        raise _problem_of_worker
    return answer_chunk(_problem_of_worker, chunk)


class Pool:
    """Workers that evaluate a problem.

    Args:
        problem: what to evaluate; shared by threads, pickled once for each process.
        jobs: number of workers.
        kind: ``threads`` where an evaluation waits for a child process, ``processes`` where it computes in Python.
    """

    def __init__(self, problem: Problem, jobs: int = 1, kind: Literal["threads", "processes"] = "threads") -> None:
        if jobs < 1:
            raise InputError(f"jobs must be at least 1, but is {jobs}", remedy="give the number of workers")
        self.jobs = jobs
        self._problem = problem
        self._kind = kind
        self._size = problem.chunk if isinstance(problem, Chunked) else 1
        self._divides = isinstance(problem, Divisible) and problem.divisible
        self._seconds: float | None = None
        """Mean time of an evaluation, as last seen."""
        self._executor: Executor | None = None

    def evaluate(self, requests: Sequence[Request]) -> list[Answer]:
        """Answer every request, in order.

        A worker that dies takes its chunk with it: the chunk is done again alone, and a request that kills its worker
        a second time is answered by an error.

        Raises:
            InputError: the problem cannot be loaded in a worker process.
        """
        size = self._share(len(requests)) if self._divides else self._size
        chunks = [requests[start : start + size] for start in range(0, len(requests), size)]
        futures = [self._submit(chunk) for chunk in chunks]
        answers = [a for chunk, future in zip(chunks, futures, strict=True) for a in self._result(chunk, future)]
        seconds = [answer.seconds for answer in answers if isinstance(answer, Evaluation)]
        self._seconds = sum(seconds) / len(seconds) if seconds else self._seconds
        return answers

    def _share(self, count: int) -> int:
        """Requests in a chunk that may be of any size: some for every worker, and not more than is worth it."""
        fair = math.ceil(count / self.jobs)
        worth = self._size if not self._seconds else math.ceil(_WORTH_SECONDS / self._seconds)
        return max(1, min(self._size, fair, worth))

    def close(self) -> None:
        """Stop the workers; requests that were not begun are dropped."""
        if self._executor is not None:
            self._executor.shutdown(wait=True, cancel_futures=True)
            self._executor = None

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _value: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.close()

    def _submit(self, chunk: _Chunk) -> Future[list[Answer]]:
        for _ in range(2):
            if self._executor is None:
                self._executor = self._start()
            try:
                if self._kind == "threads":
                    return self._executor.submit(answer_chunk, self._problem, chunk)
                return self._executor.submit(_answer_in_worker, chunk)
            except BrokenExecutor:
                self.close()
        raise MissingError("worker processes cannot be started here", remedy="look for a limit on processes or memory")

    def _start(self) -> Executor:
        if self._kind == "threads":
            return ThreadPoolExecutor(self.jobs, thread_name_prefix="evaluation")
        spawn = multiprocessing.get_context("spawn")  # a fork of a process with threads or a loaded library can hang
        return ProcessPoolExecutor(
            self.jobs, mp_context=spawn, initializer=_start_worker, initargs=(pickle.dumps(self._problem),)
        )

    def _result(self, chunk: _Chunk, future: Future[list[Answer]]) -> list[Answer]:
        try:
            return future.result()
        except BrokenExecutor:
            return self._again_alone(chunk)

    def _again_alone(self, chunk: _Chunk) -> list[Answer]:
        """Do a chunk again with no other in flight; where it breaks its worker again, find the request that does."""
        try:
            return self._submit(chunk).result()
        except BrokenExecutor:
            if len(chunk) == 1:
                return [EvaluationError("the worker process died twice on this design (killed, or out of memory)")]
        return [answer for request in chunk for answer in self._again_alone([request])]
