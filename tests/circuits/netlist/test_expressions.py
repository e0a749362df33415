"""The `.param` language, against ngspice's own evaluation of it."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest

from automl_core.errors import InputError
from circuits.netlist.expressions import BUILT_IN_FUNCTIONS, Function, evaluate_all, parse_expression, strip_delimiters
from tests.circuits.deck_runs import needs_ngspice, volts

SAME_AS_NGSPICE = """
2**3**2   -2**2   2^3   2**-1   2^-2^2   -3^2   2*3^2   -2*3^2   (-2)**3   (-2)^2   (-2)**0.5   -sqrt(4)**2
7%3   -7%3   -7.5%2   5%-3   5%0.3   7\\2   -5\\2   2-3-4   8/4/2   2--3   2+-3   2*-3   --2   +3   -2-3   -(-2)
1?2:3   0?2:0?3:4   1?2:0?3:4   0?1:1?3:4   1>0?3:4+1   2*(1>0?3:4)   (0?1:2)*3
3>2   3>=3&&2   2||3   0.5&&3   1<>2   1==1   1=1   1!=2   2<3<1   3>2==1   1+2*3>6   !0   !3   !2+1   2*!0   !!3   -!0
int(-2.7)   int(2.7)   nint(2.5)   nint(-2.5)   nint(3.5)   nint(0.5)   floor(-2.1)   ceil(2.1)   sgn(-3)   sgn(0)
log(10)   log10(100)   ln(10)   exp(1)   pow(-2,3)   pwr(-2,3)   pwr(-2,0.5)   sqr(3)   sqrt(2)   abs(-2.5)*2
sin(1)   cos(1)   tan(0.5)   asin(0.5)   acos(0.5)   atan(1)   arctan(1)   sinh(1)   cosh(1)   tanh(1)
asinh(1)   acosh(2)   atanh(0.5)   min(1,2)   max(1,2)   max(3,2)+min(1,2)*2   ternary_fcn(1,2,3)   ternary_fcn(0,2,3)
1Meg   10mil   1F   5MHz   2.5e3k   1e-6   3T   2a   1M   1g   1.5x   .5u   5.   1.e3   1MEGohm   1e-6u
agauss(1,0,1)   gauss(1,0,1)   unif(1,0)   aunif(1,0)   sqrt(4)   a1*2+b_2   a1**b_2   (a1+b_2)/(a1-b_2)
f(a1,2)   g(f(1,2))   -f(1,1)+g(2)
""".split("   ")
EXPRESSIONS = [text for row in SAME_AS_NGSPICE for text in row.split("\n") if text.strip()]
DEFINITIONS = [".param a1=3 b_2={a1-1}", ".func f(x,y) {x*y+a1}", ".param g(x)='f(x,x)/2'"]
FUNCTIONS = {
    "f": Function("f", ("x", "y"), parse_expression("x*y+a1")),
    "g": Function("g", ("x",), parse_expression("f(x,x)/2")),
}
VALUES = {"a1": 3.0, "b_2": 2.0}


@needs_ngspice
def test_every_value_is_ngspice_s(tmp_path: Path) -> None:
    readings = volts(tmp_path, [f"{{{text}}}" for text in EXPRESSIONS], DEFINITIONS)
    for text, reading in zip(EXPRESSIONS, readings, strict=True):
        assert reading == pytest.approx(parse_expression(text).evaluate(VALUES, FUNCTIONS), rel=1e-12, abs=1e-15), text


def test_the_table_covers_every_function_but_the_one_without_a_nominal_value() -> None:
    called = {call for text in EXPRESSIONS for call in BUILT_IN_FUNCTIONS if f"{call}(" in text}
    assert BUILT_IN_FUNCTIONS - called == {"limit"}  # ngspice always adds or subtracts its range


@needs_ngspice
def test_random_trees_have_ngspice_s_value(tmp_path: Path) -> None:
    generator = random.Random(0)
    texts: list[str] = []
    while len(texts) < 150:
        text = _tree(generator, 4)
        try:
            value = abs(parse_expression(text).evaluate({}))
        except InputError:
            continue
        if 1e-3 < value < 1e3:
            texts.append(text)
    readings = volts(tmp_path, [f"{{{text}}}" for text in texts])
    for text, reading in zip(texts, readings, strict=True):
        assert reading == pytest.approx(parse_expression(text).evaluate({}), rel=1e-11), text


def _tree(generator: random.Random, depth: int) -> str:
    """A random expression: every operator, without a sign where ngspice reads none."""
    if depth == 0 or generator.random() < 0.15:
        return f"{generator.choice(['1', '2.5', '3', '0.7', '40m', '1.2k'])}"
    kind = generator.random()
    left, right = _tree(generator, depth - 1), _tree(generator, depth - 1)
    if kind < 0.55:
        return f"{left}{generator.choice(['+', '-', '*', '/', '**', '^', '>', '<=', '&&', '||', '=='])}{right}"
    if kind < 0.7:
        return f"({left})"
    if kind < 0.8:
        return f"({left}?{right.replace('?', '+').replace(':', '+')}:{left})"
    if kind < 0.9:
        return f"(-{left})"
    return f"{generator.choice(['abs', 'sqrt', 'int', 'nint'])}({left})"


@needs_ngspice
@pytest.mark.parametrize("compat", ["hsa", "lta"])
def test_powers_of_negative_bases_follow_the_compatibility(tmp_path: Path, compat: str) -> None:
    texts = ["(-2)**3", "(-2)**2.4", "(-2)**2", "2**2.4", "0**2"]
    readings = volts(tmp_path, [f"{{{text}}}" for text in texts], (), "-D", f"ngbehavior={compat}")
    for text, reading in zip(texts, readings, strict=True):
        assert reading == pytest.approx(parse_expression(text).evaluate({}, compat=compat), abs=1e-12), text


@needs_ngspice
@pytest.mark.parametrize(
    "text", ["2*-sqrt(4)", "2*-(3)", "2*+3", "1k5", "5 div 2", "(2)(3)", "1|2", "2 3", "!-3", "1 k", "nope+1"]
)
def test_refuses_what_ngspice_refuses(tmp_path: Path, text: str) -> None:
    assert volts(tmp_path, [f"{{{text}}}"]) == [None]
    with pytest.raises(InputError):
        parse_expression(text).evaluate({})


@needs_ngspice
@pytest.mark.parametrize(
    ("text", "wrong"), [("3*-sqrt(4)+1", 5.0), ("2--(2)^2", 1.75), ("1?0?5:6:7", 5.0), ("min(1,2,3)", 1.0)]
)
def test_refuses_what_ngspice_silently_misreads(tmp_path: Path, text: str, wrong: float) -> None:
    assert volts(tmp_path, [f"{{{text}}}"]) == [pytest.approx(wrong)]
    with pytest.raises(InputError):
        parse_expression(text)


@pytest.mark.parametrize(
    "text", ["1/0", "sqrt(-1)", "ln(0)", "exp(1e6)", "1e308*10", "pow(-2,0.5)", "5%0", "floor(1e308*10)"]
)
def test_a_value_that_is_not_finite_is_an_error(text: str) -> None:
    with pytest.raises(InputError, match="no finite value"):
        parse_expression(text, place="a.cir:7").evaluate({})


def test_errors_name_the_expression_and_the_place() -> None:
    with pytest.raises(InputError) as caught:
        parse_expression("{2*(w1+}", place="amp.cir:12")
    assert caught.value.place == "amp.cir:12"
    assert "2*(w1+" in caught.value.problem
    with pytest.raises(InputError, match=r"w2.*not defined") as caught:
        parse_expression("w1*w2", place="amp.cir:12").evaluate({"w1": 1.0})
    assert caught.value.place == "amp.cir:12"


def test_names_and_calls_are_reported() -> None:
    expression = parse_expression("{2*W1 + f(L1, sqrt(w1)) + agauss(0, s, 3)}")
    assert expression.names == ("w1", "l1", "s")
    assert expression.calls == ("f",)
    assert expression.random
    assert not parse_expression("w1").random


@pytest.mark.parametrize(
    ("text", "inner"),
    [
        ("{a+b}", "a+b"),
        ("'a+b'", "a+b"),
        (" { 'a' } ", "a"),
        ("{a}*{b}", "{a}*{b}"),
        ("'a'*'b'", "'a'*'b'"),
        ("a", "a"),
    ],
)
def test_delimiters_come_off_only_around_the_whole(text: str, inner: str) -> None:
    assert strip_delimiters(text) == inner


def test_a_sum_with_braces_inside_is_read() -> None:
    assert parse_expression("{1+a} + b*2").evaluate({"a": 2.0, "b": 5.0}) == 13.0


def test_parameters_are_evaluated_in_the_order_of_their_needs() -> None:
    texts = {"c": "a+b", "b": "2*a", "a": "f(d)", "unused": "1"}
    functions = {"f": Function("f", ("x",), parse_expression("x+e"))}
    values = evaluate_all(
        {name: parse_expression(text) for name, text in texts.items()}, {"d": 1.0, "e": 2.0}, functions
    )
    assert values == {"c": 9.0, "b": 6.0, "a": 3.0, "unused": 1.0}


def test_a_circle_is_an_error_that_shows_it() -> None:
    texts = {"a": "b", "b": "c+1", "c": "2*a"}
    with pytest.raises(InputError, match="a -> b -> c -> a"):
        evaluate_all({name: parse_expression(text) for name, text in texts.items()})


def test_a_function_that_calls_itself_is_an_error() -> None:
    functions = {"f": Function("f", ("x",), parse_expression("f(x)+1"))}
    with pytest.raises(InputError, match="calls itself"):
        parse_expression("f(1)").evaluate({}, functions)


def test_long_and_deep_expressions_do_not_exhaust_the_stack() -> None:
    assert parse_expression("+".join(["1"] * 20_000)).evaluate({}) == 20_000
    with pytest.raises(InputError, match="nested"):
        parse_expression("(" * 5_000 + "1" + ")" * 5_000)
    with pytest.raises(InputError, match="nested"):
        parse_expression("!" * 5_000 + "1")


def test_ten_thousand_parameters_in_a_row_are_evaluated() -> None:
    expressions = {f"p{i}": parse_expression(f"p{i - 1}+1") for i in range(1, 10_001)}
    assert evaluate_all(expressions, {"p0": 0.0})["p10000"] == 10_000
    assert math.isfinite(1.0)
