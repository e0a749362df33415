"""Sized decks, and what a fresh ngspice says of reported figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from automl_core.errors import MissingError
from automl_core.problem import Evaluation
from automl_core.space import Point
from automl_core.specs import Spec, Specs
from circuits.calibration import start_of
from circuits.problem import CircuitProblem
from circuits.signoff import SignOff, sign_off
from circuits.sized_deck import MAIN, device_values, sized_decks
from circuits.specfile import read_spec
from tests.circuits.filters import LOW_PASS, SPEC, half_time, low_pass, pole, problem_of, two_benches
from tests.netlists.plain_ngspice import NETLISTS

CIRCUITS = ("five_transistor_ota", "two_stage_op_amp", "two_stage_tia")


@dataclass(frozen=True)
class Sized:
    """A sized circuit in a folder, and the figures that were reported of it."""

    folder: Path
    problem: CircuitProblem
    point: Point
    metrics: Mapping[str, float]


def _sized(problem: CircuitProblem, folder: Path, point: Point | None = None) -> Sized:
    chosen = point or start_of(problem)
    with problem:
        evaluation: Evaluation = problem.evaluate(chosen, "", 0)
    for name, text in sized_decks(problem, chosen).items():
        (folder / name).write_text(text)
    return Sized(folder, problem, chosen, evaluation.metrics)


def _signed(sized: Sized, metrics: Mapping[str, float] | None = None, folder: Path | None = None) -> SignOff:
    """The verdict on the circuit's own metrics and deck, or on others."""
    return sign_off(folder or sized.folder, MAIN, metrics or sized.metrics, sized.problem.spec.specs)


@pytest.fixture(scope="module", params=CIRCUITS)
def circuit(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sized:
    problem = CircuitProblem(read_spec(NETLISTS / request.param / "spec.yaml"), limit_seconds=60.0)
    return _sized(problem, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def filters(tmp_path_factory: pytest.TempPathFactory) -> Sized:
    folder = tmp_path_factory.mktemp("filters")
    (folder / "sized").mkdir()
    point = {"rser": 1234.5, "cload": 0.3e-9, "k": 0.5}
    return _sized(problem_of(two_benches(folder)), folder / "sized", point)


def test_a_fresh_ngspice_confirms_every_figure_of_the_netlists(circuit: Sized) -> None:
    verdict = _signed(circuit)
    assert verdict.unconfirmed == ()
    assert set(verdict.differences) == set(circuit.metrics)
    assert not any(map(math.isnan, circuit.metrics.values()))
    assert verdict.worst <= 1e-3


def test_sized_decks_stand_alone(circuit: Sized) -> None:
    for deck in circuit.folder.iterdir():
        text = deck.read_text().lower()
        assert ".include" not in text and ".lib " not in text
        assert text.rstrip().endswith(".end")


def test_sizes_read_back_are_those_of_the_design(circuit: Sized) -> None:
    devices = device_values(circuit.folder)
    for node in circuit.problem.space.nodes:
        label = next(d.label for deck in circuit.problem.decks.values() for d in deck.devices if d.name == node.name)
        for slot, variable in node.slots.items():
            if slot in ("w", "l", "m"):
                assert devices[label][slot] == pytest.approx(float(circuit.point[variable]), rel=1e-12)


def test_several_benches_are_run_by_the_first(filters: Sized) -> None:
    assert sorted(path.name for path in filters.folder.iterdir()) == ["sized.cir", "sized_step.cir"]
    verdict = _signed(filters)
    assert verdict.printed == {"bandwidth": pole(1234.5, 0.3e-9), "half": half_time(1234.5, 0.5)}
    assert verdict.worst <= 1e-4 and verdict.unconfirmed == ()


@pytest.mark.parametrize("metric", ["bandwidth", "half"])
def test_a_tampered_figure_is_found_out(filters: Sized, metric: str) -> None:
    tampered = {**filters.metrics, metric: filters.metrics[metric] * 1.005}
    verdict = _signed(filters, tampered)
    assert verdict.worst == verdict.differences[metric] == pytest.approx(0.005, rel=0.03)
    assert verdict.confirmed == tuple(name for name in filters.metrics if name != metric)
    (objection,) = verdict.objections
    assert objection.startswith(f"{metric}: ngspice prints ") and f"{tampered[metric]:.6g}" in objection


def test_a_spec_that_the_printed_figure_misses_is_not_confirmed(filters: Sized) -> None:
    """By less than confirms the metric, but by more than the digits that are printed."""
    printed = _signed(filters).printed["half"]

    def objections(bound: float) -> tuple[str, ...]:
        reported = {"half": printed * (1 - 2e-4)}
        return sign_off(filters.folder, MAIN, reported, Specs([Spec("half", maximum=bound)])).objections

    assert objections(printed) == objections(printed * (1 - 4e-6)) == ()
    (objection,) = objections(printed * (1 - 1e-4))
    assert "which misses max" in objection
    assert objections(printed * (1 - 3e-4)) == (), "the search did not meet it either, and says so"


def test_figures_near_zero_are_compared_by_the_bound(filters: Sized) -> None:
    """With a bound of 1e4 times the figure, which is then compared with a thousandth of it: 10 times the figure."""
    half = filters.metrics["half"]
    specs = Specs([Spec("half", maximum=1e4 * half)])
    near = sign_off(filters.folder, MAIN, {"half": half * 1.005}, specs)
    assert near.differences["half"] == pytest.approx(0.0005, rel=0.03) and near.objections == ()
    assert sign_off(filters.folder, MAIN, {"half": half * 1.5}, specs).objections != ()


def test_a_tampered_deck_is_found_out(filters: Sized, tmp_path: Path) -> None:
    for path in filters.folder.iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace("1.2345k", "1.25k"))
    verdict = _signed(filters, folder=tmp_path)
    assert verdict.differences["bandwidth"] == pytest.approx(1 - 1.2345 / 1.25, rel=0.05)


def test_figures_that_ngspice_does_not_print_are_named(filters: Sized) -> None:
    verdict = _signed(filters, {**filters.metrics, "invented": 1.0, "missing": math.nan})
    assert verdict.unconfirmed == ("invented",)
    assert "missing" not in verdict.differences
    assert verdict.objections == (), "no spec names it"


def test_a_spec_whose_metric_is_not_printed_is_not_confirmed(filters: Sized, tmp_path: Path) -> None:
    for path in filters.folder.iterdir():
        (tmp_path / path.name).write_text(path.read_text().replace('echo "half', 'echo "quarter'))
    verdict = _signed(filters, folder=tmp_path)
    assert verdict.unconfirmed == ("half",)
    assert [objection.partition(":")[0] for objection in verdict.objections] == ["half"]


def test_the_run_is_private(filters: Sized, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A .spiceinit beside the deck or at home does not run, and nothing is left in the folder."""
    for path in filters.folder.iterdir():
        (tmp_path / path.name).write_text(path.read_text())
    (tmp_path / ".spiceinit").write_text(f"shell touch {tmp_path / 'hacked'}\n")
    before = sorted(path.name for path in tmp_path.iterdir())
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _signed(filters, folder=tmp_path).unconfirmed == ()
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_without_ngspice_it_says_so(filters: Sized, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="no ngspice"):
        _signed(filters)


def test_options_and_following_variables_are_in_the_deck(tmp_path: Path) -> None:
    spec = SPEC.replace("cload: {min: 100p, max: 10n, scale: log}", 'cload: {expr: "1u/rser"}')
    spec = spec.replace("netlist:", "simulator: {options: {reltol: 1e-5, temp: 50}}\nnetlist:")
    problem = problem_of(low_pass(tmp_path, spec=spec))
    (tmp_path / "out").mkdir()
    sized = _sized(problem, tmp_path / "out", {"rser": 2e3})
    text = (sized.folder / MAIN).read_text()
    assert ".options reltol=1e-5" in text and ".options temp=50" in text
    assert _signed(sized).printed["bandwidth"] == pole(1.0, 1e-6)
    assert device_values(sized.folder)["c1"]["c"] == pytest.approx(0.5e-9)


def test_nets_of_any_name_and_takes_that_refer_to_others_are_confirmed(tmp_path: Path) -> None:
    deck = LOW_PASS.replace("vin in", "vin vdd!").replace("r1 in out", "r1 vdd! out-p").replace("c1 out", "c1 out-p")
    spec = SPEC.replace("node: out}", 'node: out-p, input: "vdd!"}')
    spec = spec.replace('take: "max vdb(out)"}', "take: find vdb(out-p) at=300k}")
    spec = spec.replace("specs:", "  level: {in: ac, take: 'when vdb(out-p)=gain fall=1'}\nspecs:")
    sized = _sized(problem_of(low_pass(tmp_path, deck, spec)), tmp_path, {"rser": 1e3, "cload": 1e-9})
    verdict = _signed(sized)
    assert verdict.unconfirmed == () and verdict.worst <= 1e-4
    assert verdict.printed["bandwidth"] == pole(1e3, 1e-9)
    assert verdict.printed["level"] == pytest.approx(300e3, rel=1e-4)
