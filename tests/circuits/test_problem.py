"""A circuit as a problem, against closed forms of filters and Kirchhoff's laws."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from automl_core.errors import EvaluationError, EvaluationTimeout, InputError
from automl_core.problem import Evaluation, Request
from automl_core.testing import check_problem
from circuits.problem import CircuitProblem
from circuits.specfile import read_spec
from tests.circuits.filters import TWO, half_time, low_pass, pole, problem_of, two_benches
from tests.netlists.plain_ngspice import NETLISTS, figures

POINT = {"rser": 1500.0, "cload": 0.4e-9, "k": 1.0}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CircuitProblem]:
    with problem_of(two_benches(tmp_path_factory.mktemp("two")), limit_seconds=20.0) as problem:
        yield problem


@pytest.fixture(scope="module")
def amplifier() -> Iterator[CircuitProblem]:
    spec = read_spec(NETLISTS / "two_stage_op_amp" / "spec.yaml")
    with CircuitProblem(spec, limit_seconds=20.0, observe=True) as problem:
        yield problem


def _figures(answer: Evaluation | EvaluationError) -> str:
    return str(answer) if isinstance(answer, EvaluationError) else repr(sorted(answer.metrics.items()))


def _points(problem: CircuitProblem, count: int) -> list[dict[str, float]]:
    generator = np.random.default_rng(5)
    return [problem.space.decode(generator.random(problem.space.dim)) for _ in range(count)]


def test_every_bench_gives_its_figures(two: CircuitProblem) -> None:
    for k in (0.0, 1.0, 2.4):
        for rser in (300.0, 5e3):
            evaluation = two.evaluate({"rser": rser, "cload": 2e-10, "k": k}, "", 0)
            assert evaluation.metrics == {"bandwidth": pole(rser, 2e-10), "half": half_time(rser, k)}
            assert 0 < evaluation.seconds < 10


def test_a_bench_is_given_its_own_parameters_only(two: CircuitProblem) -> None:
    assert two.values("small", POINT) == {"rser": 1500.0, "cload": 0.4e-9}
    assert two.values("step", POINT) == {"rser": 1500.0, "k": 1.0}


@pytest.mark.parametrize(("k", "reason"), [(2.0, "r9"), (3.0, "tran gave no result")])
def test_a_failure_names_its_bench(two: CircuitProblem, k: float, reason: str) -> None:
    with pytest.raises(EvaluationError, match="bench 'step'") as caught:
        two.evaluate({**POINT, "k": k}, "", 0)
    assert reason in caught.value.problem
    assert two.evaluate(POINT, "", 0).metrics["half"] == half_time(1500.0, 1.0)


def test_an_evaluation_that_never_ends_is_a_timeout_of_its_bench(tmp_path: Path) -> None:
    with problem_of(two_benches(tmp_path, TWO.replace("tran 10n 20u", "tran 1n 100")), limit_seconds=0.5) as problem:
        with pytest.raises(EvaluationTimeout, match=r"bench 'step': no result after 0\.5 s"):
            problem.evaluate(POINT, "", 0)


def test_chunks_equal_singles_to_the_last_bit(two: CircuitProblem) -> None:
    points = [*_points(two, 6), {**POINT, "k": 2.0}, POINT, {**POINT, "k": 3.0}, POINT]
    together = two.evaluate_chunk([Request(point, "", 0) for point in points])
    alone = [two.evaluate_chunk([Request(point, "", 0)])[0] for point in points]
    assert [_figures(answer) for answer in together] == [_figures(answer) for answer in alone]
    assert {type(answer) for answer in together} == {Evaluation, EvaluationError}
    assert _figures(together[7]) == _figures(together[9])


def test_two_threads_give_the_same_figures(two: CircuitProblem) -> None:
    points = _points(two, 16)
    alone = [_figures(two.evaluate_chunk([Request(point, "", 0)])[0]) for point in points]
    chunks = [[Request(point, "", 0) for point in points[n : n + 2]] for n in range(0, 16, 2)]
    with ThreadPoolExecutor(2) as pool:
        answers = [answer for chunk in pool.map(two.evaluate_chunk, chunks) for answer in chunk]
    assert [_figures(answer) for answer in answers] == alone


def test_a_pickle_is_a_reference(two: CircuitProblem) -> None:
    packed = pickle.dumps(two)
    assert b"vin" not in packed and len(packed) < 1000
    with pickle.loads(packed) as again:
        assert (again.limit_seconds, again.modes, again.observe) == (20.0, {}, False)
        assert again.space.variables == two.space.variables
        assert _figures(again.evaluate(POINT, "", 0)) == _figures(two.evaluate(POINT, "", 0))


def test_the_contract_of_problems_with_failures(two: CircuitProblem) -> None:
    check_problem(lambda: two, designs=6)


def test_the_contract_of_problems_on_an_amplifier(amplifier: CircuitProblem) -> None:
    check_problem(lambda: amplifier, designs=3)


def test_operating_points_are_those_that_ngspice_prints(amplifier: CircuitProblem, tmp_path: Path) -> None:
    """Devices that stand on both benches are observed on the first."""
    lines = amplifier.decks["open_loop"].flatten()
    names = [f"@m{n}[{what}]" for n in (1, 2, 5, 6, 8) for what in ("id", "gm", "gds", "vth", "vdsat")]
    printed = figures("\n".join(lines[:-1]), ["op", *(f"print {name}" for name in names)], tmp_path)
    seen = amplifier.evaluate(amplifier.space.start or {}, "", 0).observations
    for name in names:
        device, _, what = name[1:-1].partition("[")
        assert seen[device][what] == pytest.approx(printed[name], rel=1e-5)


def test_operating_points_obey_kirchhoff(amplifier: CircuitProblem) -> None:
    seen = amplifier.evaluate(amplifier.space.start or {}, "", 0).observations
    assert set(seen) == {f"m{n}" for n in range(1, 9)}
    current = {name: abs(values["id"]) for name, values in seen.items()}
    assert current["m5"] == pytest.approx(current["m1"] + current["m2"], rel=1e-3)
    assert current["m3"] == pytest.approx(current["m1"], rel=1e-3)
    assert current["m6"] == pytest.approx(current["m7"], rel=1e-3)
    assert current["m8"] == pytest.approx(15e-6, rel=1e-3)
    assert all(values["gm"] > values["gds"] > 0 for values in seen.values())
    assert seen["m1"]["vds"] - seen["m2"]["vds"] == pytest.approx(
        abs(seen["m4"]["vds"]) - abs(seen["m3"]["vds"]), abs=1e-6
    )


def test_waveforms_are_those_of_the_circuit(two: CircuitProblem) -> None:
    readings = two.read(POINT, {"small": {"ac": ("v(out)",)}, "step": {"tran": ("v(out)",)}})
    small, step = readings["small"].waveforms["ac"], readings["step"].waveforms["tran"]
    assert list(small)[1:] == list(step)[1:] == ["v(out)"]
    frequency, time = np.real(small["frequency"]), step["time"]
    expected = 1 / (1 + 2j * math.pi * frequency * 1500.0 * 0.4e-9)
    np.testing.assert_allclose(small["v(out)"], expected, rtol=1e-9)
    tau = 2e-9 / (1 / 1500.0 + 1e-6)
    np.testing.assert_allclose(step["v(out)"], (1 - np.exp(-time / tau)) / 1.0015, atol=2e-3)


def test_closing_ends_the_children_and_the_next_evaluation_starts_others(tmp_path: Path) -> None:
    with problem_of(low_pass(tmp_path)) as problem:
        point = {"rser": 1e3, "cload": 1e-9}
        first = _figures(problem.evaluate(point, "", 0))
        problem.close()
        assert _figures(problem.evaluate(point, "", 0)) == first


def test_a_deck_that_is_missing_is_named_with_the_line_of_the_spec(tmp_path: Path) -> None:
    spec = two_benches(tmp_path)
    (tmp_path / "step.cir").unlink()
    with pytest.raises(InputError) as caught:
        problem_of(spec)
    assert caught.value.place == f"{spec}:1"
    assert str(tmp_path / "step.cir") in caught.value.problem


def test_what_ngspice_refuses_is_told_of_the_users_line(tmp_path: Path) -> None:
    deck = "low pass\n.param rser=1k cload=1n\nvin in 0 dc 1 ac 1\nr1 in out {rser} tc1=x\nc1 out 0 {cload}\n.end\n"
    with problem_of(low_pass(tmp_path, deck.replace(" tc1=x", " nonsense=1"))) as problem:
        with pytest.raises(InputError) as caught:
            problem.evaluate({"rser": 1e3, "cload": 1e-9}, "", 0)
    assert caught.value.place == f"{tmp_path / 'low_pass.cir'}:4"


def test_devices_are_found_by_the_names_that_check_prints(tmp_path: Path) -> None:
    """Two volts over two resistors, in a subcircuit: by the designer's names, in every place that takes a device."""
    deck = """divider
.param rser=1k cload=1n
x1 out cell
.subckt cell out
vs in 0 dc 2 ac 1
v0 low 0 dc 0
r1 in out {rser}
r2 out low 1k
m1 out out 0 0 nch w=10u l=1u
.model nch nmos level=1 vto=5
.ends
c1 out 0 {cload}
.end
"""
    spec = """netlist: low_pass.cir
variables:
  rser: {min: 100, max: 10k, scale: log}
analyses:
  op: op
  dc: "dc x1.vs 0 4 1"
  noise: "noise v(out) x1.vs dec 10 1 100"
  ac: {run: "ac lin 1 1 1", stimulus: {x1.v0: 1}}
measures:
  power: {in: op, kind: supply_power, source: x1.vs}
  supply: {in: op, kind: supply_current, source: x1.vs}
  current: {in: op, kind: voltage, node: "i(x1.v0)"}
  quantity: {in: op, kind: voltage, node: "@x1.r2[i]"}
  swept: {in: dc, take: "find i(x1.v0) at=4"}
  margin: {in: op, kind: saturation_margin, devices: "x1.m1"}
  noise: {in: noise, kind: output_noise, at: 10}
  other: {in: ac, kind: dc_gain, node: out, scale: V/V}
specs:
  power: {max: 1}
"""
    with problem_of(low_pass(tmp_path, deck, spec)) as problem:
        metrics = problem.evaluate({"rser": 1e3}, "", 0).metrics
    expected = {"power": 2e-3, "supply": 1e-3, "current": 1e-3, "quantity": 1e-3, "swept": 2e-3, "margin": 1.0}
    expected |= {"noise": math.sqrt(4 * 1.380649e-23 * 300.15 * 500), "other": 0.5}
    assert metrics == pytest.approx(expected, rel=1e-4)
