"""How long a computation takes on this machine: processor time of one thread, the minimum of many repeats.

The minimum is what the computation takes when nothing disturbs it. Of the statistics tried on a busy machine it follows
the truth best, and the time of the thread better than that of the clock on the wall.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["Measurement", "least_seconds", "measured"]

_WARMING = 3
"""Calls before the first that counts: caches, memory and lazy set-up."""
_SAMPLE = 2e-5
"""Seconds that one reading of the clock must cover: reading it takes about 0.3 µs."""
_LONGEST = 50
"""Budgets after which a slow call is not repeated any more, if it was timed three times."""
_ROUNDS = 3


@dataclass(frozen=True)
class Measurement:
    """The time of one computation, measured in several rounds.

    Args:
        rounds: the minimum of each round, in seconds of one thread.
        repeats: calls in all rounds together.
        engine: what computed it.
    """

    rounds: tuple[float, ...]
    repeats: int
    engine: str

    @property
    def seconds(self) -> float:
        """The least of the rounds."""
        return min(self.rounds)

    @property
    def spread(self) -> float:
        """The greatest of the rounds over the least, less 1."""
        return max(self.rounds) / min(self.rounds) - 1.0


def least_seconds(call: Callable[[], object], *, budget: float = 4e-3, repeats: int = 15) -> tuple[float, int]:
    """The least time of a call, in seconds of this thread.

    Args:
        call: what is timed; it must compute in this thread alone.
        budget: seconds to go on for, at least.
        repeats: readings to take, at least, unless they take too long.

    Returns:
        Seconds a call, and how many calls were made.
    """
    for _ in range(_WARMING):
        call()
    number = max(round(_SAMPLE / max(_seconds(call, 1), 1e-7)), 1)
    least, readings, spent = float("inf"), 0, 0.0
    while readings < 3 or ((readings < repeats or spent < budget) and spent < _LONGEST * budget):
        seconds = _seconds(call, number)
        if seconds > 0.0:  # a clock that stood still, or went back, tells nothing
            least, readings, spent = min(least, seconds), readings + 1, spent + seconds * number
    return least, readings * number


def _seconds(call: Callable[[], object], number: int) -> float:
    began = time.thread_time()
    for _ in range(number):
        call()
    return (time.thread_time() - began) / number


def measured(call: Callable[[], object], engine: str, *, budget: float = 0.1, rounds: int = _ROUNDS) -> Measurement:
    """A call measured in rounds of ``budget`` seconds each."""
    found = [least_seconds(call, budget=budget) for _ in range(rounds)]
    return Measurement(tuple(seconds for seconds, _ in found), sum(calls for _, calls in found), engine)
