"""Figures of a study, as SVG files."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from automl_core.front import feasible, pareto_front
from automl_core.problem import Trial
from automl_core.specs import Score, Spec, Specs

__all__ = ["COLOURS", "convergence", "front", "save"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
"""Okabe and Ito's, which people tell apart whatever colours they see; an odd number, so that dashes alternate."""

_WIDTH, _HEIGHT = 7.0, 4.0


def convergence(trials: Sequence[Trial], specs: Specs) -> Figure:
    """Every design and the best so far over evaluations: the violation, and the merit where there is a goal."""
    figure = Figure((_WIDTH, _HEIGHT), layout="constrained")
    spent, scores, best = _history(trials, specs)
    panels = figure.subplots(2 if specs.goals else 1, 1, sharex=True, squeeze=False)[:, 0]
    _violation_panel(panels[0], spent, scores, best)
    if specs.goals:
        feasible = [(x, score.merit) for x, score in zip(spent, scores, strict=True) if score.feasible]
        panels[1].plot([x for x, _ in feasible], [y for _, y in feasible], ".", color="0.7", ms=3)
        merits = [score.merit if score.feasible else math.nan for score in best]
        panels[1].step(spent, merits, where="post", color="C0", label="best so far")
        panels[1].set_ylabel("figure of merit")
    panels[-1].set_xlabel("evaluations")
    return figure


def _history(trials: Sequence[Trial], specs: Specs) -> tuple[list[int], list[Score], list[Score]]:
    """Evaluations spent, score and best score so far, trial by trial."""
    spent: list[int] = []
    scores: list[Score] = []
    best: list[Score] = []
    for trial in trials:
        score = specs.judge(trial)
        spent.append(trial.cost + (spent[-1] if spent else 0))
        scores.append(score)
        leader = best[-1] if best else None
        best.append(score if (trial.status == "ok" and score.better_than(leader)) or leader is None else leader)
    return spent, scores, best


def _violation_panel(panel: Axes, spent: list[int], scores: list[Score], best: list[Score]) -> None:
    panel.plot(spent, [score.violation for score in scores], ".", color="0.7", ms=3, label="designs")
    panel.step(spent, [score.violation for score in best], where="post", color="C0", label="best so far")
    met = next((x for x, score in zip(spent, best, strict=True) if score.feasible), None)
    if met is not None:
        panel.axvline(met, color="C2", ls="--", label=f"all specs met after {met}")
    panel.set_yscale("symlog", linthresh=1e-3)
    panel.yaxis.set_major_formatter("{x:g}")  # powers of ten as formulae take longer to set than all else to draw
    panel.set_ylim(bottom=0)
    panel.set_ylabel("violation of the specs")
    panel.legend(frameon=False)


def front(trials: Sequence[Trial], specs: Specs) -> Figure:
    """Every feasible design and the Pareto front, in the metrics' own units: one panel for each pair of goals."""
    pairs = list(combinations(specs.goals, 2))
    columns = math.ceil(math.sqrt(len(pairs)))
    rows = math.ceil(len(pairs) / max(columns, 1))
    figure = Figure((_WIDTH, _HEIGHT * max(rows, 1)), layout="constrained")
    designs, best = feasible(trials, specs), pareto_front(trials, specs)
    for place, (across, upward) in enumerate(pairs, start=1):
        panel = figure.add_subplot(rows, columns, place)
        panel.plot(_values(designs, across), _values(designs, upward), ".", color="0.7", ms=3, label="designs")
        # Two goals make a line that no design lies beyond; the shadow of more goals is a cloud.
        line = "o" if len(pairs) > 1 else "o-"
        panel.plot(_values(best, across), _values(best, upward), line, color="C0", ms=4, lw=1, label="Pareto front")
        panel.set_xlabel(_axis_title(across))
        panel.set_ylabel(_axis_title(upward))
        panel.legend(frameon=False, title=None if designs else "no design meets every spec")
    return figure


def _values(trials: Sequence[Trial], spec: Spec) -> list[float]:
    return [trial.metrics[spec.metric] for trial in trials]


def _axis_title(spec: Spec) -> str:
    unit = f" ({spec.unit})" if spec.unit else ""
    return f"{spec.metric}{unit}, {spec.goal}"


def save(figure: Figure, path: Path) -> None:
    """Write a figure as SVG; the same figure gives the same file."""
    with matplotlib.rc_context({"svg.hashsalt": "sizewise", "svg.fonttype": "none"}):
        figure.savefig(path, format="svg", metadata={"Date": None})
