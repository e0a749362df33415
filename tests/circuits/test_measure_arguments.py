"""What a spec may tell a measure, and what it is told when it is wrong."""

from __future__ import annotations

import pickle

import pytest

from automl_core.errors import InputError
from circuits.measures import KINDS, Complete


def test_defaults_are_filled_in_and_names_put_in_order():
    complete = KINDS["phase_margin"].complete({"node": ["OutP", " outN "], "polarity": "Inverting"})
    assert complete == {"node": "outp,outn", "input": None, "polarity": "inverting", "crossing": "last"}
    assert KINDS["dc_gain"].complete({"node": "Out", "scale": "db"})["scale"] == "dB"
    assert KINDS["supply_current"].complete({"source": "VDD,vss"})["source"] == ("vdd", "vss")
    assert KINDS["psrr"].complete({"node": "out", "against": "AC_supply"})["against"] == "AC_supply"


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_complete_arguments_stay_as_they_are_and_travel(kind):
    required = {"signal": "out", "source": "vdd", "device": "m1", "analysis": "other", "number": 1e6, "choice": "dB"}
    given = {argument.name: required[argument.type] for argument in kind.arguments if argument.required}
    complete = kind.complete(given)
    assert kind.complete(complete) is complete
    assert kind.complete(complete, analysis=kind.analyses[0]) == complete
    assert set(complete) == {argument.name for argument in kind.arguments}
    again = pickle.loads(pickle.dumps(complete))
    assert isinstance(again, Complete)
    assert again == complete
    assert kind.unit_of(complete)
    assert kind.meaning
    assert kind.other_analyses(complete) == (("other",) if "other" in given.values() else ())
    if kind.name not in ("saturation_margin", "overdrive"):
        assert kind.vectors(complete)


def test_all_devices_are_those_of_the_deck():
    kind = KINDS["saturation_margin"]
    assert kind.complete({}, devices=("m1", "m.x1.m2"))["devices"] == ("m1", "m.x1.m2")
    assert kind.complete({"devices": "all"}, devices=())["devices"] == ()
    assert kind.complete(kind.complete({}), devices=("m1", "m2"))["devices"] == ("m1", "m2")
    assert kind.complete({"devices": "M1, m2"}, devices=("m7",))["devices"] == ("m1", "m2")
    assert kind.vectors({"devices": "m1"}) == ("@m1[vds]", "@m1[vdsat]")


def test_vectors_are_those_of_the_signals():
    assert KINDS["dc_gain"].vectors({"node": "out,0", "input": "v(inp,inn)"}) == ("v(out)", "v(inp)", "v(inn)")
    assert KINDS["dc_gain"].vectors({"node": "i(vload)"}) == ("i(vload)",)
    assert KINDS["supply_power"].vectors({"source": "vdd"}) == ("@vdd[p]",)
    assert KINDS["offset"].vectors({"node": "out", "reference": "gnd"}) == ("v(out)",)


def test_units_follow_the_arguments():
    assert KINDS["dc_gain"].unit_of({"node": "out"}) == "dB"
    assert KINDS["dc_gain"].unit_of({"node": "out", "scale": "V/A"}) == "V/A"
    assert KINDS["output_noise"].unit_of({"at": 1e3}) == "V/√Hz"
    assert KINDS["output_noise"].unit_of({}) == "V"


@pytest.mark.parametrize(
    ("command", "density", "integral"),
    [
        ("noise v(out) vin dec 10 1k 1Meg", "V/√Hz", "V"),
        ("noise v(out) iin dec 10 1k 1Meg", "A/√Hz", "A"),
        ("NOISE V(out, ref) I1 dec 10 1k 1Meg", "A/√Hz", "A"),
        ("noise v(iout) vin dec 10 1k 1Meg", "V/√Hz", "V"),
    ],
)
def test_noise_at_the_input_is_in_the_unit_of_the_source(command: str, density: str, integral: str) -> None:
    kind = KINDS["input_referred_noise"]
    assert (kind.unit_of({"at": 1e5}, command), kind.unit_of({}, command)) == (density, integral)
    assert KINDS["output_noise"].unit_of({}, command) == "V"


@pytest.mark.parametrize(
    ("kind", "given", "says"),
    [
        ("phase_margin", {}, "phase_margin needs the argument 'node'"),
        ("phase_margin", {"node": "out", "crosing": "last"}, "no argument 'crosing'.*did you mean 'crossing'"),
        ("phase_margin", {"node": "out", "crossing": "lasst"}, "'lasst' is no choice.*did you mean 'last'"),
        ("dc_gain", {"node": "a,b,c"}, "'a,b,c' is neither a net nor a pair of nets"),
        ("dc_gain", {"node": ""}, "node = '' names nothing"),
        ("dc_gain", {"node": "a,"}, "names nothing"),
        ("slew_rate", {"node": "out", "from": "low"}, "from = 'low' is not a number"),
        ("slew_rate", {"node": "out", "start": True}, "start = True is not a number"),
        ("slew_rate", {"node": "out", "from": 10}, "from = 10 must be above 0 and below 1"),
        ("slew_rate", {"node": "out", "from": 0.9, "to": 0.1}, "from = 0.9 must be below to = 0.1"),
        ("settling_time", {"node": "out", "start": 2e-6, "stop": 1e-6}, "start = 2e-06 must be below stop = 1e-06"),
        ("settling_time", {"node": "out", "start": float("nan")}, "start = nan is not a number"),
        ("gain", {"node": "out"}, "gain needs the argument 'at'"),
        ("gain", {"node": "out", "at": -1}, "at = -1 must be above 0"),
        ("psrr", {"node": "out"}, "psrr needs the argument 'against'"),
        ("thd", {"node": "out", "fundamental": 1e3, "periods": 1.5}, "periods = 1.5 must be a whole number"),
        ("output_noise", {"at": 1e3, "from": 10}, "give one or the other"),
        ("output_noise", {"from": 100, "to": 10}, "from = 100 must be below to = 10"),
        ("supply_current", {"source": "vdd,,vss"}, "names nothing"),
        ("supply_current", {"source": []}, "names nothing"),
    ],
)
def test_wrong_arguments_are_named(kind, given, says):
    with pytest.raises(InputError, match=r"(?s)" + says):
        KINDS[kind].complete(given)


def test_a_measure_of_the_wrong_analysis_says_which_it_reads():
    with pytest.raises(InputError, match=r"(?s)supply_power cannot read an analysis 'ac'.*op or tran"):
        KINDS["supply_power"].complete({"source": "vdd"}, analysis="ac")
    assert KINDS["supply_power"].complete({"source": "vdd"}, analysis="tran")
