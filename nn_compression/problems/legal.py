"""Which designs are legal under a budget, what a sequence may still become, and the nearest legal design.

A design is legal if it costs no more than the budget, and if it leaves nothing over that its last variables could use:
no variable has an idle value, one with which all later variables can be at their greatest, and one greater value of it
could be as well. Where costs grow, this is to say that the last variable that is not at its greatest cannot be raised.
The second half is what keeps random designs from being a straw man (designs that are only clipped in order end at 36 %
of the MACs where 50 % are allowed), and it can be decided along a sequence: the values that
:meth:`LegalDesigns.allowed` gives are those that a legal design begins with, and repair leaves legal designs alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from automl_core.errors import InputError
from automl_core.problem import Allowed
from automl_core.space import Array, Point, Value
from nn_compression.problems.costs import Cost
from nn_compression.problems.grid import Grid, Levels

__all__ = ["LegalDesigns"]


class LegalDesigns:
    """The legal designs of a grid.

    Args:
        grid: the values.
        cost: of designs.
        bound: the greatest cost that is legal.
        metric: what the cost is called, for messages.
        unit: of the cost, for messages.
        base: what a share of the cost is a share of; by default the cost of the design in which all is kept.

    Attributes:
        full: the cost of the design in which all is kept.
        reachable: the least cost of all designs.

    Raises:
        InputError: no design is within the bound; the least cost is named.
    """

    def __init__(
        self,
        grid: Grid,
        cost: Cost,
        bound: float,
        *,
        metric: str = "cost",
        unit: str = "",
        base: float | None = None,
    ) -> None:
        self.grid, self.cost, self.bound = grid, cost, bound
        self.full = float(cost.total(grid.top[np.newaxis])[0])
        self.reachable = float(cost.least(np.zeros_like(grid.top)[np.newaxis], 0)[0])
        if not self.reachable <= bound:
            share = self.reachable / (base or self.full)
            problem = f"{metric} can be brought to {_shown(self.reachable)} {unit}".rstrip()
            problem += f" ({share:.1%} of the network's own) at the least, not to {_shown(bound)}"
            remedy = f"give at least {metric}={_upward(share)}"
            raise InputError(problem, place="--budget", remedy=remedy)

    # Designs.

    def fits(self, levels: Levels) -> _Truths:
        """Whether designs are within the bound: shape (rows, variables) to (rows,)."""
        return self.cost.total(levels) <= self.bound

    def is_legal(self, levels: Levels) -> bool:
        """Whether a design, shape (variables,), is legal."""
        if not self.fits(levels[np.newaxis])[0]:
            return False
        open_ones = np.flatnonzero(levels < self.grid.top)
        if self.cost.grows:
            return len(open_ones) == 0 or not self.fits(self._raises(levels, open_ones[-1:])).any()
        return not any(self._greater(levels, at) is not None for at in open_ones.tolist())

    def _greater(self, levels: Levels, at: int) -> int | None:
        """Where a value is idle: the greatest with which all later variables can be at theirs; ``None`` elsewhere."""
        options = np.repeat(levels[np.newaxis], self.grid.top[at] + 1, axis=0)
        options[:, at], options[:, at + 1 :] = np.arange(len(options)), self.grid.top[at + 1 :]
        full = self.fits(options)
        return int(np.flatnonzero(full)[-1]) if _idle(full[np.newaxis])[0, levels[at]] else None

    def _raises(self, levels: Levels, variables: Levels) -> Levels:
        """The designs in which one of some variables is raised, one a row.

        By one step where the cost grows, for if that is too much, more is too; to each greater value otherwise.
        """
        steps = [
            range(levels[at] + 1, (levels[at] + 1 if self.cost.grows else self.grid.top[at]) + 1) for at in variables
        ]
        raised: Levels = np.repeat(levels[np.newaxis], sum(map(len, steps)), axis=0)
        column = np.repeat(variables, [len(step) for step in steps])
        raised[np.arange(len(raised)), column] = [value for step in steps for value in step]
        return raised

    # Along a sequence.

    def allowed(self, prefixes: Sequence[Point]) -> list[Allowed]:
        """What the next variable may be, as :meth:`automl_core.problem.Sequential.allowed`."""
        answers: dict[int, Allowed] = {}
        lengths = [len(prefix) for prefix in prefixes]
        for length in sorted(set(lengths)):
            rows = [row for row, own in enumerate(lengths) if own == length]
            found = self._allowed(self.grid.levels([prefixes[row] for row in rows]), length)
            answers.update(zip(rows, found, strict=True))
        return [answers[row] for row in range(len(prefixes))]

    def _allowed(self, levels: Levels, at: int) -> list[Allowed]:
        low, high = levels.copy(), levels.copy()
        high[:, at:] = self.grid.top[at:]
        features = self._features(levels, high, at)

        def least(value: Levels) -> Array:
            low[:, at] = value
            return self.cost.least(low, at + 1)

        def most(value: Levels) -> Array:
            high[:, at] = value
            return self.cost.total(high)

        values = self._span(least, most, at, len(levels)) if self.cost.grows else self._some(least, most, at)
        return [Allowed(values=some, features=said) for some, said in zip(values, features, strict=True)]

    def _span(self, least: _CostAt, most: _CostAt, at: int, rows: int) -> list[Sequence[Value]]:
        """Of a growing cost: from the value below which the budget cannot be used up to the last that fits."""
        top, values = int(self.grid.top[at]), self.grid.values[at]
        lowest = np.maximum(self._last_that_fits(most, top, rows), 0)
        highest = np.maximum(self._last_that_fits(least, top, rows), 0)
        return [values[first : last + 1] for first, last in zip(lowest.tolist(), highest.tolist(), strict=True)]

    def _last_that_fits(self, cost_at: _CostAt, top: int, rows: int) -> Levels:
        """By bisection, for every row: -1 where none fits."""
        low, high = np.full(rows, -1), np.full(rows, top)
        while (low < high).any():
            middle = (low + high + 1) // 2
            fits = cost_at(np.maximum(middle, 0)) <= self.bound
            low, high = np.where(fits, middle, low), np.where(fits, high, middle - 1)
        return low

    def _some(self, least: _CostAt, most: _CostAt, at: int) -> list[Sequence[Value]]:
        """Of any cost: all values with which the rest can be within the bound, but for those that are idle."""
        values = self.grid.values[at]
        fits = np.stack([least(np.array(value)) <= self.bound for value in range(len(values))], axis=1)
        full = np.stack([most(np.array(value)) <= self.bound for value in range(len(values))], axis=1)
        fits &= ~_idle(full)
        return [[values[int(value)] for value in np.flatnonzero(row)] or [values[0]] for row in fits]

    def _features(self, levels: Levels, high: Levels, at: int) -> list[dict[str, float]]:
        """As shares of the full cost: AMC's (reduced so far, of the rest), and what the budget has over the least."""
        kept, least = self.cost.total(high), self.cost.least(levels, at)
        whole = self.full or 1.0  # where nothing costs anything
        columns = {
            "reduced": 1.0 - kept / whole,
            "rest": (kept - least) / whole,
            "left": (self.bound - least) / whole,
        }
        return [
            dict(zip(columns, row, strict=True)) for row in zip(*(c.tolist() for c in columns.values()), strict=True)
        ]

    # The nearest legal design.

    def repair(self, point: Point) -> dict[str, Value]:
        """The nearest legal design, as :meth:`automl_core.problem.Repairing.repair`.

        All coordinates are lowered by the same length, as little as will do, so that none moves further than in the
        design within the bound that is nearest by its largest move; then what that leaves over is used up, by the
        variables first that lie furthest below where they were. A design that leaves budget over is raised likewise.
        """
        levels = self.grid.levels([point])[0]
        if self.is_legal(levels):
            return self.grid.point(levels)
        wish = self.grid.units(levels)
        if self.fits(levels[np.newaxis])[0]:
            moved, wish = self._raised(wish)
        else:
            moved = self._lowered(levels, wish)
        return self.grid.point(self._settled(self._filled(moved, wish)))

    def _lowered(self, levels: Levels, wish: Array) -> Levels:
        """All lowered by the shortest length that brings the cost within the bound."""
        moves = [wish[at] - own[: levels[at]] for at, own in enumerate(self.grid.coordinates)]
        lengths = np.unique(np.concatenate(moves))

        def lowered(some: Array) -> Levels:
            return self.grid.above(wish - some[:, np.newaxis])

        found = self._first(lambda some: self.fits(lowered(some)), lengths)
        return self._cheapest() if found is None else lowered(lengths[found:][:1])[0]

    def _raised(self, wish: Array) -> tuple[Levels, Array]:
        """All raised by the greatest length that keeps the cost within the bound, and where that led."""
        moves = [own - wish[at] for at, own in enumerate(self.grid.coordinates)]
        lengths = np.unique(np.concatenate([np.maximum(move, 0.0) for move in moves]))[::-1]

        def raised(some: Array) -> Levels:
            return self.grid.below(wish + some[:, np.newaxis])

        found = self._first(lambda some: self.fits(raised(some)), lengths)  # 0 does, at the end
        length = lengths[found:][:1]
        return raised(length)[0], np.minimum(wish + length, 1.0)

    def _first(self, fits: Callable[[Array], _Truths], lengths: Array) -> int | None:
        """Position of the first length that fits; of a growing cost by bisection."""
        if not self.cost.grows:
            found = np.flatnonzero(fits(lengths))
            return int(found[0]) if len(found) else None
        low, high = 0, len(lengths)
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if fits(lengths[[middle]])[0] else (middle + 1, high)
        return low if low < len(lengths) else None

    def _filled(self, levels: Levels, wish: Array) -> Levels:
        """What is left over used up: no variable of the result can be raised.

        The next to be raised is the one that then lies least above (or furthest below) its wish.
        """
        variables = np.flatnonzero(levels < self.grid.top)
        while len(variables):
            raises = self._raises(levels, variables)
            raises = raises[self.fits(raises)]
            if not len(raises):
                return levels
            moved = np.argmax(raises != levels, axis=1)
            beyond = self.grid.units(raises)[np.arange(len(raises)), moved] - wish[moved]
            levels = raises[int(np.argmin(beyond))]
            if self.cost.grows:  # what is too much now is too much ever after
                variables = np.unique(moved)
            variables = variables[levels[variables] < self.grid.top[variables]]
        return levels

    def _settled(self, levels: Levels) -> Levels:
        """Where costs do not grow, all variables from the first idle one on as great as they can be together."""
        settled = levels.copy()
        for at in () if self.cost.grows else range(len(levels)):
            greater = self._greater(levels, at)
            if greater is not None:
                settled[at], settled[at + 1 :] = greater, self.grid.top[at + 1 :]
                break
        return settled

    def _cheapest(self) -> Levels:
        """The design of the least cost."""
        levels = np.zeros_like(self.grid.top)
        for at in range(len(levels)):
            options = np.repeat(levels[np.newaxis], self.grid.top[at] + 1, axis=0)
            options[:, at] = np.arange(len(options))
            levels = options[int(np.argmin(self.cost.least(options, at + 1)))]
        return levels


_CostAt = Callable[[Levels], Array]
_Truths = np.ndarray[tuple[int, ...], np.dtype[np.bool_]]


def _idle(full: _Truths) -> _Truths:
    """Which values are below another that fits as they do, shape (rows, values): whether each fits."""
    above = np.logical_or.accumulate(full[:, ::-1], axis=1)[:, ::-1]
    above = np.roll(above, -1, axis=1)
    above[:, -1] = False
    idle: _Truths = full & above
    return idle


def _shown(cost: float) -> str:
    return f"{cost:,.0f}" if cost >= 1000 else f"{cost:.4g}"


def _upward(share: float) -> str:
    """Three decimals, rounded up: a budget of that share can be met."""
    return f"{np.ceil(share * 1000) / 1000:g}"
