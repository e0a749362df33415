import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from automl_core.errors import EvaluationError, InputError
from automl_core.pool import Pool
from automl_core.problem import Evaluation, Point, Request
from automl_core.space import DesignSpace, Variable
from automl_core.testing import Cliff, Rosenbrock


def requests(n: int) -> list[Request]:
    return [Request({"x0": i / 10, "x1": 0.0, "x2": 0.0}, "", i) for i in range(n)]


@pytest.mark.parametrize("kind", ["threads", "processes"])
@pytest.mark.parametrize("jobs", [1, 3])
def test_answers_come_in_order_whatever_the_workers(kind: str, jobs: int) -> None:
    with Pool(Cliff(), jobs, kind) as pool:  # type: ignore[arg-type]
        answers = pool.evaluate(requests(8))
    kinds = [type(answer) for answer in answers]
    assert kinds == [EvaluationError] * 4 + [Evaluation] * 4
    assert [a.metrics["sum"] for a in answers if isinstance(a, Evaluation)] == [0.4, 0.5, 0.6, 0.7]


@dataclass(frozen=True)
class Deadly:
    """Kills its worker: once for x0 = 1, always for x0 = 2."""

    folder: Path
    space = DesignSpace([Variable("x0", 0, 3)])
    scenarios = ("",)

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        mark = self.folder / "died"
        if point["x0"] == 2 or (point["x0"] == 1 and not mark.exists()):
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Evaluation({"x": float(point["x0"])})


def test_a_worker_that_dies_is_replaced_and_costs_no_other_design(tmp_path: Path) -> None:
    with Pool(Deadly(tmp_path), 2, "processes") as pool:
        answers = pool.evaluate([Request({"x0": x}, "", 0) for x in (0, 1, 2, 3)])
        assert [a.metrics["x"] if isinstance(a, Evaluation) else str(a) for a in answers] == [
            0.0,
            1.0,
            "the worker process died twice on this design (killed, or out of memory)",
            3.0,
        ]
        assert isinstance(pool.evaluate([Request({"x0": 3}, "", 0)])[0], Evaluation), "and the pool works on"


class Unloadable(Rosenbrock):
    """Loads in no other process."""

    error: Exception = FileNotFoundError(2, "No such file or directory", "data.npz")

    def __reduce__(self) -> tuple[object, ...]:
        return _cannot_load, (self.error,)


class UnloadableSpec(Unloadable):
    """The same, with an error that says what to do."""

    error = InputError("no such deck", place="amp.cir", remedy="put it back")


def _cannot_load(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (Unloadable(2), "cannot be loaded in a worker process: FileNotFoundError: .*'data.npz'"),
        (UnloadableSpec(2), "amp.cir: no such deck\n  put it back"),
    ],
)
def test_a_problem_that_no_worker_can_load_is_an_error_and_no_failed_designs(problem: Rosenbrock, message: str) -> None:
    with Pool(problem, 1, "processes") as pool, pytest.raises(InputError, match=message):
        pool.evaluate(requests(2))


@dataclass(frozen=True)
class Pairs(Rosenbrock):
    """A chunked problem that says with whom each request shared its chunk."""

    chunk = 3

    def evaluate_chunk(self, requests: list[Request]) -> list[Evaluation]:
        time.sleep(0.01)
        return [Evaluation({"size": len(requests), "first": requests[0].seed}) for _ in requests]


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_chunks_do_not_depend_on_the_number_of_workers(jobs: int) -> None:
    with Pool(Pairs(2), jobs) as pool:
        answers = pool.evaluate(requests(8))
    assert [(a.metrics["size"], a.metrics["first"]) for a in answers if isinstance(a, Evaluation)] == (
        [(3, 0)] * 3 + [(3, 3)] * 3 + [(2, 6)] * 2
    )


@dataclass(frozen=True)
class Shares(Pairs):
    """One whose chunks may be divided, of 40 ms an evaluation where ``dim`` is 2 and 1 ms elsewhere."""

    chunk = 16
    divisible = True

    def evaluate_chunk(self, requests: list[Request]) -> list[Evaluation]:
        seconds = 0.04 if self.dim == 2 else 0.001
        return [Evaluation({"size": len(requests), "first": r.seed}, seconds=seconds) for r in requests]


def sizes(pool: Pool, count: int) -> list[int]:
    answers = pool.evaluate(requests(count))
    assert len(answers) == count
    found = [int(a.metrics["size"]) for a in answers if isinstance(a, Evaluation)]
    return found[:: found[0]]


@pytest.mark.parametrize(("jobs", "share"), [(1, 16), (2, 8), (3, 6), (8, 2), (40, 1)])
def test_chunks_that_may_be_divided_give_every_worker_some(jobs: int, share: int) -> None:
    with Pool(Shares(3), jobs) as pool:
        for _ in range(2):
            assert sizes(pool, 16)[0] == share


def test_chunks_that_take_long_are_small_and_large_batches_are_cut() -> None:
    with Pool(Shares(2), 2) as pool:
        assert sizes(pool, 16) == [8, 8], "nothing is known of their time yet"
        assert sizes(pool, 16)[:5] == [3] * 5, "0.1 s of 40 ms each"
    with Pool(Shares(3), 2) as pool:
        assert sizes(pool, 256) == [16] * 16


def test_no_workers_is_refused() -> None:
    with pytest.raises(InputError, match="jobs must be at least 1, but is 0"):
        Pool(Rosenbrock(2), 0)
