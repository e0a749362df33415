"""Metrics computed of others and of the sizes: against closed forms, and against ngspice's own commands and cards."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from automl_core.errors import InputError
from automl_core.space import Point
from circuits.calibration import start_of
from circuits.earlier import fingerprint
from circuits.initial_spec import write_initial_spec
from circuits.signoff import SignOff, sign_off
from circuits.sized_deck import MAIN, sized_decks
from circuits.sizing import unmeasured
from tests.circuits.deck_runs import needs_ngspice, plain_batch, printed
from tests.circuits.filters import LOW_PASS, SPEC, TWO, half_time, low_pass, pole, problem_of, two_benches

POINT = {"rser": 1234.5, "cload": 0.3e-9}


def _with(spec: str, **computed: str) -> str:
    """The spec with further metrics."""
    lines = "".join(f'  {name}: {{expr: "{text}"}}\n' for name, text in computed.items())
    return spec.replace("specs:\n", f"{lines}specs:\n")


def _metrics(spec: Path, point: Point) -> dict[str, float]:
    with problem_of(spec) as problem:
        return dict(problem.evaluate(point, "", 0).metrics)


def _signed(spec: Path, point: Point, folder: Path) -> SignOff:
    """What a fresh ngspice says of all metrics of a design."""
    with problem_of(spec) as problem:
        metrics = problem.evaluate(point, "", 0).metrics
        for name, text in sized_decks(problem, point).items():
            (folder / name).write_text(text)
    assert not any(map(math.isnan, metrics.values()))
    return sign_off(folder, MAIN, metrics, problem.spec.specs)


def test_a_metric_follows_from_metrics_sizes_and_parameters_whatever_their_order(tmp_path: Path) -> None:
    deck = LOW_PASS.replace(".param ", ".param margin={2*tau} tau={rser*cload}\n.param ")
    spec = _with(SPEC, twice="2*product", product="Bandwidth*rser*cload", share="tau/margin")
    metrics = _metrics(low_pass(tmp_path, deck, spec), POINT)
    assert metrics["product"] == pytest.approx(1 / (2 * math.pi), rel=2e-3)
    assert metrics["twice"] == 2 * metrics["product"]
    assert metrics["share"] == 0.5


def test_a_variable_that_follows_another_is_one_of_the_sizes(tmp_path: Path) -> None:
    spec = _with(SPEC.replace("cload: {min: 100p, max: 10n, scale: log}", 'cload: {expr: "1u/rser"}'), tau="rser*cload")
    assert _metrics(low_pass(tmp_path, LOW_PASS, spec), {"rser": 500.0})["tau"] == pytest.approx(1e-6)


def test_metrics_of_several_benches_meet_in_one_and_a_fresh_ngspice_confirms_it(tmp_path: Path) -> None:
    (tmp_path / "sized").mkdir()
    spec = two_benches(tmp_path, _with(TWO, both="half*bandwidth", worst="min(bandwidth/1meg, half/1u)"))
    verdict = _signed(spec, {**POINT, "k": 0.5}, tmp_path / "sized")
    assert verdict.unconfirmed == () and verdict.worst <= 1e-4
    expected = verdict.printed["half"] * verdict.printed["bandwidth"]
    assert verdict.printed["both"] == pytest.approx(expected, rel=1e-5)
    assert verdict.printed["half"] == half_time(1234.5, 0.5) and verdict.printed["bandwidth"] == pole(1234.5, 0.3e-9)


EXPRESSIONS = (
    *("-2**2 + a*b - a/b", "a^2.5 - pow(b, 3) + pwr(-a, 2)", "9 % 4 + 7.5\\\\2", "(a > b) - (a <= b) + !0 + !(a)"),
    *("(a > 1 && b < 1) || a == b", "a != b ? ln(a) : exp(b)", "ternary_fcn(a > b, 1, 2)", "max(a, b) + min(a, 0.1)"),
    *("abs(-a) + sqr(b) + sqrt(a) + log(a) + log10(b)", "sin(a) + cos(b) + tan(a) + atan(b) + arctan(a)"),
    *("sinh(b) + cosh(b) + tanh(a)", "floor(-a) + ceil(b) + int(-a) + nint(a) + sgn(-a)", "double(a) + double(2) * b"),
)


@needs_ngspice
def test_ngspices_commands_compute_the_same_of_every_operator_and_function(tmp_path: Path) -> None:
    """Ours are of ``.param`` expressions, which know other signs, functions and powers than the commands do."""
    (tmp_path / "sized").mkdir()
    deck = LOW_PASS.replace(".param ", ".func double(x) {x + x*one}\n.param one=1\n.param ")
    made = {f"e{number}": text for number, text in enumerate(EXPRESSIONS)}
    spec = low_pass(tmp_path, deck, _with(SPEC, a="gain*0 + 2.7", b="bandwidth*0 + 0.4", **made))
    verdict = _signed(spec, POINT, tmp_path / "sized")
    assert verdict.unconfirmed == ()
    assert set(made) <= set(verdict.confirmed)
    assert verdict.worst <= 1e-5


def test_what_has_no_figure_is_nan_and_says_why(tmp_path: Path) -> None:
    spec = low_pass(
        tmp_path,
        spec=_with(
            SPEC.replace("specs:", '  late: {in: ac, take: "when vdb(out)=3"}\nspecs:'),
            of_nothing="late + gain",
            of_that="2*of_nothing",
            root="sqrt(-rser)",
            whole="rser / 1",
        ),
    )
    with problem_of(spec) as problem:
        metrics = problem.evaluate(start_of(problem), "", 0).metrics
        said = unmeasured(problem)
    assert {name for name, value in metrics.items() if math.isnan(value)} == {"late", "of_nothing", "of_that", "root"}
    assert metrics["whole"] == 1000
    lines = spec.read_text().splitlines()
    for name, why in {"of_nothing": "late has no figure", "of_that": "of_nothing has no", "root": "no finite"}.items():
        place = 1 + next(number for number, line in enumerate(lines) if line.startswith(f"  {name}:"))
        assert any(line.startswith(f"{spec}:{place}: {name}: ") and why in line for line in said), (name, said)


@pytest.mark.parametrize(
    ("expression", "problem", "remedy"),
    [
        ("gian*2", "there is no metric and no parameter 'gian'", "'gain'"),
        ("gain*", "cannot be read", "written"),
        ("gain + 1 + x", "need each other: x -> x", None),
        ("twice(gain)", r"twice\(\) in 'twice\(gain\)' is not defined", None),
        ("sqrrt(gain)", r"sqrrt\(\) in 'sqrrt\(gain\)' is not defined", "'sqrt'"),
        ("gain*gauss(1, 0.1, 3)", "is random", "take it out"),
        ("bandwidth*cload*peak", "'peak' is both a metric and a parameter of the deck", "another name"),
    ],
)
def test_what_cannot_be_computed_is_told_with_its_line(
    tmp_path: Path, expression: str, problem: str, remedy: str | None
) -> None:
    deck = LOW_PASS.replace(".param ", ".param peak=1\n.param ")
    text = _with(SPEC.replace("  gain: {in", '  peak: {in: ac, take: "max vdb(out)"}\n  gain: {in'), x=expression)
    with pytest.raises(InputError, match=problem) as caught:
        problem_of(low_pass(tmp_path, deck, text))
    line = 1 + next(number for number, line in enumerate(text.splitlines()) if line.startswith("  x: "))
    assert caught.value.place == f"{tmp_path / 'low_pass.yaml'}:{line}"
    assert caught.value.remedy and (remedy or "") in caught.value.remedy


def test_metrics_that_differ_in_case_alone_are_not_told_apart(tmp_path: Path) -> None:
    text = _with(SPEC.replace("  gain: {in", '  GAIN: {in: ac, take: "min vdb(out)"}\n  gain: {in'), x="gain*2")
    with pytest.raises(InputError, match="'GAIN' and 'gain' differ in case alone"):
        problem_of(low_pass(tmp_path, LOW_PASS, text))


def test_a_run_with_another_definition_tells_nothing_of_a_computed_metric(tmp_path: Path) -> None:
    def metrics_of(name: str, spec: str) -> dict[str, str]:
        (tmp_path / name).mkdir()
        return dict(fingerprint(problem_of(low_pass(tmp_path / name, LOW_PASS, spec)))["metrics"])

    first = metrics_of("first", _with(SPEC, x="2*gain", y="x + 1", z="bandwidth"))
    assert metrics_of("same", _with(SPEC, x="2*gain", y="x + 1", z="bandwidth")) == first
    other = metrics_of("other", _with(SPEC, x="3*gain", y="x + 1", z="bandwidth"))
    assert {name for name in first if other[name] != first[name]} == {"x", "y"}
    measured = metrics_of("measured", _with(SPEC.replace("max vdb", "min vdb"), x="2*gain", y="x + 1", z="bandwidth"))
    assert {name for name in first if measured[name] != first[name]} == {"gain", "x", "y"}


@needs_ngspice
def test_a_card_with_param_is_lifted_and_gives_what_ngspice_makes_of_it(tmp_path: Path) -> None:
    cards = [".ac dec 50 100 1G", ".meas ac peak max vdb(out)", ".meas ac corner when vdb(out)=-3"]
    cards += [
        ".param lim=1meg",
        ".meas ac room PARAM = 'max(corner, lim) / min(corner, lim) + 10**(peak/20)'",
        ".save v(out)",
    ]
    text = LOW_PASS.replace(".end\n", "\n".join([*cards, ".end", ""]))
    (tmp_path / "low_pass.cir").write_text(text)
    written = write_initial_spec(tmp_path / "low_pass.cir", None, (), lift=None, confirm=lambda _: False)
    assert not [line for line in written.report if line.startswith("not lifted")]
    with problem_of(written.spec) as problem:
        metrics = problem.evaluate(start_of(problem), "", 0).metrics
    theirs = printed(plain_batch(tmp_path, text))
    assert metrics["room"] == pytest.approx(theirs["room"], rel=1e-5)
