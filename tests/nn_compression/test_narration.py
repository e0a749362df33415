"""What is told of trainings and searches where the output is piped."""

from __future__ import annotations

import io
from collections.abc import Iterator

import pytest
from rich.console import Console

from automl_core.budget import Budget
from automl_core.optimizers import make
from automl_core.pool import Pool
from automl_core.record import Record
from automl_core.report import live
from automl_core.specs import Spec, Specs
from automl_core.study import Study
from automl_core.testing import Cliff
from nn_compression.run.narration import Narration, epoch_line
from nn_compression.training.loop import Epoch


def _said() -> tuple[Narration, io.StringIO]:
    out = io.StringIO()
    return Narration(Console(file=out, force_terminal=False, width=100)), out


def _study(specs: Specs) -> Iterator[Study]:
    problem, record = Cliff(), Record.create(":memory:")  # type: ignore[arg-type]
    with Pool(problem) as pool:
        study = Study(problem, specs, pool, record, budget=Budget(evaluations=16))
        study.evaluate(make("random", problem.space, specs, 0, study.budget).ask(16))
        yield study
    record.close()


@pytest.mark.parametrize(("most", "found"), [(None, True), (-1.0, False)])
def test_a_search_is_told_by_the_figure_of_its_best_design(
    most: float | None, found: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_LINE_EVERY", 0.0)
    specs = Specs([Spec("sum", goal="minimize", unit="V", maximum=most, scale=1.0)])
    narration, out = _said()
    for study in _study(specs):
        with narration.searching("channels: random", Spec("product", goal="maximize", unit="%")) as hear:
            hear(study)
        title, line = out.getvalue().splitlines()
        assert title == "channels: random"
        best = study.best
        assert best is not None
        shown = f"product {best.metrics['product']:.4g} %" if found else "no design meets it yet"
        assert line.startswith(f"16 evaluations, {shown}")


def test_a_training_names_the_epoch_whose_weights_are_kept() -> None:
    narration, out = _said()
    with narration.training("fine-tuning", 3) as hear:
        for number, metric, best in ((1, 97.0, 1), (2, 99.0, 2), (3, 98.0, 2)):
            hear(Epoch(number, 0.1, 0.5, metric, 1.0, best))
    (line,) = out.getvalue().splitlines()
    assert line.startswith("fine-tuning: epoch 3 of 3, loss 0.5, validation 98 (best so far: epoch 2); ")
    assert epoch_line("training", Epoch(4, 0.1, 0.5, None, 1.0, 4), 9) == "training: epoch 4 of 9, loss 0.5"
