"""How the optimizers of a comparison came along: medians over the seeds, with the quartiles as bands."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from automl_core.anytime import Quartiles, quartiles
from automl_core.contest import Outcome
from automl_core.report.figures import COLOURS

__all__ = ["anytime"]

_DASHES = ("-", "--")
"""In turn, so that of two optimizers that do the same both are seen."""
_POINTS = 400


def anytime(problem: str, outcomes: Sequence[Outcome]) -> Figure:
    """Violation and merit of the best so far, and the share of seeds with all specs met, over evaluations.

    Args:
        problem: its name, for the title.
        outcomes: of this problem; those that have not ended are left out.
    """
    by_optimizer: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        by_optimizer.setdefault(outcome.optimizer, [])
        if outcome.status != "unfinished":
            by_optimizer[outcome.optimizer].append(outcome)
    goals = any(outcome.curve.specs.goals for outcome in outcomes)
    figure = Figure((7.0, 8.4 if goals else 6.0), layout="constrained")
    panels = list(figure.subplots(3 if goals else 2, 1, sharex=True))
    for position, (name, found) in enumerate(by_optimizer.items()):
        if found:
            style: dict[str, Any] = {
                "color": COLOURS[position % len(COLOURS)],
                "ls": _DASHES[position % len(_DASHES)],
            }
            _draw(panels, f"{name} ({len(found)})", found, style, goals)
    _label(panels, goals)
    panels[0].set_title(problem)
    lines, labels = panels[0].get_legend_handles_labels()
    figure.legend(lines, labels, loc="outside lower center", frameon=False, ncols=4, title="optimizer (seeds)")
    return figure


def _draw(panels: Sequence[Axes], label: str, found: Sequence[Outcome], style: dict[str, Any], goals: bool) -> None:
    budget = found[0].budget
    axis = np.unique(np.geomspace(1, budget, _POINTS).round().astype(int)).tolist()
    scores = [[outcome.curve.score(at) for outcome in found] for at in axis]
    _band(panels[0], axis, [quartiles([s.violation for s in row]) for row in scores], label, style)
    if goals:
        merits = [quartiles([s.merit if s.feasible else -math.inf for s in row]) for row in scores]
        _band(panels[1], axis, merits, label, style)
    panels[-1].step(axis, [np.mean([s.feasible for s in row]) for row in scores], where="post", label=label, **style)


def _band(panel: Axes, axis: Sequence[int], rows: Sequence[Quartiles], label: str, style: dict[str, Any]) -> None:
    """A median in its band; where it is infinite, fewer than half of the seeds have met the specs: nothing is drawn."""
    finite = np.array([[value if math.isfinite(value) else math.nan for value in row] for row in rows])
    panel.step(axis, finite[:, 1], where="post", label=label, **style)
    panel.fill_between(axis, finite[:, 0], finite[:, 2], step="post", color=style["color"], alpha=0.15, lw=0)


def _label(panels: Sequence[Axes], goals: bool) -> None:
    panels[0].set_yscale("symlog", linthresh=1e-3)
    panels[0].set_ylim(bottom=0)
    panels[0].set_ylabel("violation of the best so far")
    if goals:
        panels[1].set_ylabel("merit of the best so far,\nall specs met")
    panels[-1].set_ylim(-0.03, 1.03)
    panels[-1].set_ylabel("share of seeds\nwith all specs met")
    panels[-1].set_xscale("log")
    panels[-1].set_xlabel("evaluations")
