"""First specs for decks that nobody prepared: ranges, suggestions, folders."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import yaml

from automl_core.errors import InputError
from automl_core.space import Variable
from circuits.initial_spec import InitialSpec, write_initial_spec
from circuits.initial_variables import sizing_parameters, variable_entries
from circuits.netlist import read_deck
from circuits.numbers import parse_number
from circuits.problem import CircuitProblem
from circuits.signoff import control_block, read_printed
from circuits.specfile import SpecFile, read_spec
from tests.circuits.deck_runs import batch, plain_batch, printed
from tests.circuits.ngspice_runs import run_ngspice
from tests.end_to_end.command_line import sizewise

MODELS = ".model n nmos level=1 vto=0.45 kp=250u lambda=0.1\n.model p pmos level=1 vto=-0.45 kp=80u lambda=0.15\n"
OTA = f"""five transistors
vdd vdd 0 1.8
vip inp 0 dc 0.9 ac 1
vin inn 0 0.9
ib vdd nb 20u
m6 nb nb 0 0 n w=4u l=1u
m5 tail nb 0 0 n w=4u l=1u m=2
m1 x inp tail 0 n w=10u l=0.5u
m2 out inn tail 0 n w=10u l=0.5u
m3 x x vdd vdd p w=8u l=0.5u
m4 out x vdd vdd p w=8u l=0.5u
rz out z 2k
cz z x 0.5p
cl out 0 1p
{MODELS}.ac dec 10 1k 1g
.end
"""
STAGE = f"""common source
.param w1=12.3457u l1=0.456789u rload=3k m1=3 cl=1p derived={{2*w1}} unused=5
vdd vdd 0 1.8
vin g 0 dc 0.7 ac 1 pulse(0.6 0.8 1n 1n 1n 50n 100n)
m1 vout g 0 0 n w={{w1}} l={{l1}} m={{m1}}
r1 vdd vout {{rload}}
m2 vdd vout f 0 n w={{derived}} l=0.3u
r2 f 0 5k
c1 f 0 {{cl}}
{MODELS}.ac dec 10 1k 1g
.tran 1n 100n
.meas tran top max v(vout)
.end
"""


def _never(folders: list[Path]) -> bool:
    raise AssertionError(f"nothing is asked, but {folders} was")


def _deck(folder: Path, text: str) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "amp.cir").write_text(text)
    return folder / "amp.cir"


def _written(deck: Path, **settings: object) -> InitialSpec:
    return write_initial_spec(deck, None, (), **{"lift": None, "confirm": _never, **settings})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> SpecFile:
    return read_spec(_written(_deck(tmp_path_factory.mktemp("stage"), STAGE)).spec)


@pytest.fixture(scope="module")
def ota(tmp_path_factory: pytest.TempPathFactory) -> InitialSpec:
    return _written(_deck(tmp_path_factory.mktemp("ota"), OTA))


def test_what_sizes_a_device_varies_and_nothing_else(stage: SpecFile) -> None:
    assert list(stage.variables) == ["w1", "l1", "m1", "rload", "cl"]


@pytest.mark.parametrize(("name", "start"), [("w1", 12.3457e-6), ("rload", 3e3), ("cl", 1e-12)])
def test_a_range_is_a_decade_to_either_side(stage: SpecFile, name: str, start: float) -> None:
    entry = stage.variables[name]
    assert entry.scale == "log" and not entry.integer
    assert entry.min == pytest.approx(start / 10, rel=1e-3) and entry.max == pytest.approx(start * 10, rel=1e-3)


def test_the_decks_own_sizing_lies_within_every_range(stage: SpecFile) -> None:
    """Trial 0 is the designer's own, to the last digit; a length begins at the shortest one in use."""
    deck = read_deck(stage.decks[""])
    for name, entry in stage.variables.items():
        start = deck.parameter(name).start
        assert entry.min is not None and entry.max is not None and start is not None
        assert entry.min <= start <= entry.max
    assert stage.variables["l1"].min == pytest.approx(0.456789e-6, rel=1e-3)


def test_multipliers_are_whole_numbers(stage: SpecFile) -> None:
    assert (stage.variables["m1"].min, stage.variables["m1"].max, stage.variables["m1"].integer) == (1, 12, True)


def test_analyses_and_measures_of_the_deck_are_kept(stage: SpecFile) -> None:
    assert [analysis.command for _, analysis in stage.analyses] == ["ac dec 10 1k 1g", "tran 1n 100n", "op"]
    measures = {measure.name: measure for _, measure in stage.measures}
    assert measures["top"].take == "max v(vout)"
    assert measures["dc_gain"].kind == "dc_gain" and measures["dc_gain"].arguments["node"] == "vout"
    assert measures["supply_current"].arguments["source"] == "vdd"
    assert "saturation_margin" in measures


def test_specs_ask_for_what_the_deck_reaches_today(stage: SpecFile, tmp_path: Path) -> None:
    bounds = {spec.metric: (spec.minimum, spec.maximum, spec.unit) for spec in stage.specs.specs}
    assert bounds["dc_gain"][0] is not None and bounds["dc_gain"][1] is None and bounds["dc_gain"][2] == "dB"
    current = bounds["supply_current"]
    # m1: half of kp m W/L (vgs - vto)² (1 + lambda vds) at most, and the follower's vout/5k beside it
    assert current[0] is None and current[1] is not None and 1e-5 < current[1] < 1.8 / 3e3 + 1.8 / 5e3
    assert "top" not in bounds, "whether more or less is better, nobody can tell"
    assert "# top:" in stage.path.read_text()


def test_the_file_is_plain_yaml_with_a_comment_of_its_origin(stage: SpecFile) -> None:
    text = stage.path.read_text()
    assert text.startswith("# Written by `sizewise init` from amp.cir")
    assert yaml.safe_load(text)["netlist"] == "amp.cir"
    assert not list(stage.path.parent.glob(".sizewise-*")), "the trial spec is gone"


def test_literals_are_lifted_where_no_parameter_sizes_anything(ota: InitialSpec) -> None:
    assert [path.name for path in ota.files] == ["amp.yaml", "amp.lifted.cir"]
    assert (ota.spec.parent / "amp.cir").read_text() == OTA
    spec = read_spec(ota.spec)
    assert spec.decks[""].name == "amp.lifted.cir"
    deck = read_deck(spec.decks[""])
    original = read_deck(ota.spec.parent / "amp.cir")
    assert {d.label: dict(d.values) for d in deck.devices} == {d.label: dict(d.values) for d in original.devices}


def test_matched_devices_share_their_variables(ota: InitialSpec) -> None:
    devices = {device.label: device for device in read_deck(read_spec(ota.spec).decks[""]).devices}
    variables = read_spec(ota.spec).variables

    def sizes(label: str) -> tuple[str, str]:
        w, length = (devices[label].parameters[key].strip("{}'").lower() for key in ("w", "l"))
        assert w in variables and length in variables
        return w, length

    assert sizes("m1") == sizes("m2") and sizes("m3") == sizes("m4")
    assert sizes("m1")[0] != sizes("m3")[0]
    assert any("m1, m2" in line for line in ota.report)


def test_a_load_is_not_varied_and_a_compensation_is(ota: InitialSpec) -> None:
    deck = read_deck(read_spec(ota.spec).decks[""])
    variables = read_spec(ota.spec).variables
    for label, varied in {"rz": True, "cz": True, "cl": False, "ib": True}.items():
        names = {text.strip("{}'").lower() for text in deck.device(label).parameters.values()}
        assert bool(names & set(variables)) is varied, label
    assert any(line.startswith("not varied") and "cl" in line for line in ota.report)


STIMULI = "ib vdd nb dc 20u\niload out 0 10u\niin 0 inn dc 0 ac 0\nip 0 inp 1u pulse(0 1u)"
BENCH = OTA.replace("ib vdd nb 20u", STIMULI).replace(".end", ".control\nrun\nprint v(out)\n.endc\n.end")


def test_a_lifted_deck_has_no_parameters_of_its_test_bench(tmp_path: Path) -> None:
    written = _written(_deck(tmp_path, BENCH))
    lifted = read_deck(read_spec(written.spec).decks[""])
    assert [p.name for p in lifted.parameters if p.name.startswith(("dc_", "c_", "r_"))] == ["dc_ib", "r_rz", "c_cz"]
    assert "not varied: iload, iin, ip, cl (load or test bench)" in written.report


def test_what_is_not_lifted_is_told_by_the_users_own_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    number = BENCH.splitlines().index("print v(out)") + 1
    _deck(tmp_path / "deep", BENCH)
    monkeypatch.chdir(tmp_path)
    written = _written(Path("deep/amp.cir"))
    assert [line for line in written.report if line.startswith(f"not lifted: deep/amp.cir:{number}: print v(out): ")]
    assert written.files == (Path("deep/amp.yaml"), Path("deep/amp.lifted.cir"))


SIZES = """sizes of all sorts
.param w1=4.37u l1=0.18u w2=0.9u l2=45n w3=1.2345678u r1=3.97k c1=1.5p i1=-20u r2=0 r3=1234.567 w4=2.345u
vdd vdd 0 1.8
m1 out g 0 0 n w={w1} l={l1}
m2 out g 0 0 n w={w2} l={l2}
m3 out g 0 0 n w={w3} l=1u
m4 out g 0 0 n w={w4} l=1u
r1 vdd out {r1}
r2 g vdd {r2}
r3 g vdd {r3}
c1 g out {c1}
i1 g vdd {i1}
.model n nmos level=1
.op
.end
"""


def test_ranges_are_on_a_grid_on_which_the_decks_own_values_lie(tmp_path: Path) -> None:
    deck = read_deck(_deck(tmp_path, SIZES))
    entries = {name: yaml.safe_load(entry) for name, entry in variable_entries(deck, sizing_parameters(deck)).items()}
    assert "r2" not in entries, "no range follows from 0"
    steps = {name: entry.get("step") for name, entry in entries.items()}
    assert steps == {"w1": "10n", "l1": "5n", "w2": "10n", "l2": "5n", "w3": None, "w4": "5n"} | {
        "r1": 1, "c1": "1f", "i1": "10n", "r3": None
    }  # fmt: skip
    for name, entry in entries.items():
        low, high = (parse_number(str(entry[key])) for key in ("min", "max"))
        start = deck.parameter(name).start
        assert start is not None and low <= start <= high
        nearer, farther = (45e-9 if name[0] == "l" else start / 10), 10 * start
        assert (low, high) == pytest.approx((farther, nearer) if start < 0 else (nearer, farther), rel=0.02)
        if steps[name] is not None:
            step = parse_number(str(steps[name]))
            variable = Variable(name, low, high, entry.get("scale", "linear"), step)
            assert variable.nearest(start) == pytest.approx(start, rel=1e-12), "trial 0 is the designer's own"
            assert all(value / step == pytest.approx(round(value / step), abs=1e-6) for value in (low, high))


def test_a_kit_whose_sizes_are_in_micrometres_has_its_grid_in_them(tmp_path: Path) -> None:
    cell = ".subckt cell d g s b w=1 l=1\nm1 d g s b n w={w*1u} l={l*1u}\n.ends\n.model n nmos level=1\n"
    text = f"t\n.param w1=5 l1=0.18\nvdd out 0 1\nx1 out g 0 0 cell w={{w1}} l={{l1}}\nr1 g out 1k\n{cell}.op\n.end\n"
    deck = read_deck(_deck(tmp_path, text))
    entries = {name: yaml.safe_load(entry) for name, entry in variable_entries(deck, sizing_parameters(deck)).items()}
    assert {name: entry["step"] for name, entry in entries.items()} == {"w1": "10m", "l1": "10m"}


def test_literals_are_left_alone_where_asked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no parameter of the deck sizes a device") as caught:
        _written(_deck(tmp_path, OTA), lift=False)
    assert "--lift" in caught.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == ["amp.cir"]


@pytest.mark.parametrize("taken", ["amp.yaml", "amp.lifted.cir"])
def test_nothing_is_overwritten(tmp_path: Path, taken: str) -> None:
    deck = _deck(tmp_path, OTA)
    (tmp_path / taken).write_text("mine")
    with pytest.raises(InputError, match="exists already") as caught:
        _written(deck)
    assert caught.value.place == str(tmp_path / taken)
    assert {"amp.yaml": "with -o", "amp.lifted.cir": "sizewise init amp.lifted.cir"}[taken] in caught.value.remedy
    assert (tmp_path / taken).read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["amp.cir", taken])


def _scattered(folder: Path) -> Path:
    text = STAGE.replace(MODELS, ".include ../models/m.lib\n.include ../more/c.inc\n").replace("c1 f 0 {cl}\n", "")
    deck = _deck(folder / "amp", text)
    for name, content in {"models/m.lib": MODELS, "more/c.inc": "c1 f 0 {cl}\n"}.items():
        (folder / name).parent.mkdir()
        (folder / name).write_text("* part\n" + content)
    return deck


def test_folders_are_asked_for_all_at_once_and_written_down(tmp_path: Path) -> None:
    asked: list[list[Path]] = []

    def confirm(folders: list[Path]) -> bool:
        asked.append(folders)
        return True

    spec = read_spec(_written(_scattered(tmp_path), confirm=confirm).spec)
    assert [sorted(folder.resolve().name for folder in each) for each in asked] == [["models", "more"]]
    assert sorted(folder.resolve() for folder in spec.include_paths) == [tmp_path / "models", tmp_path / "more"]
    assert "../models" in spec.path.read_text()


def test_folders_that_were_refused_are_named_with_what_to_type(tmp_path: Path) -> None:
    deck = _scattered(tmp_path)
    with pytest.raises(InputError, match="not allowed") as caught:
        _written(deck, confirm=lambda folders: False)
    assert caught.value.remedy.count("--allow ") == 2
    assert not deck.with_suffix(".yaml").exists()


def test_folders_allowed_beforehand_are_not_asked_for(tmp_path: Path) -> None:
    written = write_initial_spec(
        _scattered(tmp_path),
        tmp_path / "elsewhere.yaml",
        (tmp_path / "models", tmp_path / "more"),
        lift=None,
        confirm=_never,
    )
    spec = read_spec(written.spec)
    assert spec.decks[""].resolve() == tmp_path / "amp" / "amp.cir"
    assert list(spec.variables) == ["w1", "l1", "m1", "rload", "cl"]


def test_a_deck_that_gives_no_figures_is_refused(tmp_path: Path) -> None:
    deck = _deck(tmp_path, STAGE.replace(".ac dec 10 1k 1g\n", "").replace("vdd vdd 0 1.8", "vdd vdd 0 {1/(rload-3k)}"))
    with pytest.raises(InputError, match=r"refuses 'vdd vdd 0 {1/\(rload-3k\)}': .*inf") as caught:
        _written(deck)
    assert caught.value.place == f"{deck}:3"
    assert [path.name for path in tmp_path.iterdir()] == ["amp.cir"]


def test_a_deck_that_fails_says_why_in_ngspices_words_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """Two sources at odds: no operating point. Once it is corrected, the same command works."""
    deck = _deck(tmp_path, OTA.replace(".ac dec", "vodd vdd 0 1.7\n.ac dec"))
    with pytest.raises(
        InputError, match=r"at its own sizing ac gave no result: .*singular matrix.*vdd#branch"
    ) as caught:
        _written(deck)
    assert caught.value.place == str(deck) and "bias" in caught.value.remedy
    assert [path.name for path in tmp_path.iterdir()] == ["amp.cir"]
    deck.write_text(OTA)
    assert _written(deck).files == (tmp_path / "amp.yaml", tmp_path / "amp.lifted.cir")


def test_a_line_that_ngspice_refuses_is_named_by_the_users_own_number(tmp_path: Path) -> None:
    """The lifted deck has a ``.param`` line for every literal above it, and is gone."""
    text = OTA.replace("cl out 0 1p", "cl out 0 1p\nd1 out 0 dio area=bad")
    deck = _deck(tmp_path, text.replace(".ac dec", ".model dio d\n.ac dec"))
    with pytest.raises(InputError) as caught:
        _written(deck)
    assert caught.value.place == f"{deck}:{text.splitlines().index('d1 out 0 dio area=bad') + 1}"
    assert [path.name for path in tmp_path.iterdir()] == ["amp.cir"]


def test_measures_without_a_figure_say_why(tmp_path: Path) -> None:
    text = "t\n.param r1=1k\ni1 0 a 1m\nr1 a 0 {r1}\n.tran 1n 1u\n.meas tran late when v(a)=3\n.end\n"
    with pytest.raises(InputError, match=r"no measure gives a figure: late: .*out of interval"):
        _written(_deck(tmp_path, text))
    assert [path.name for path in tmp_path.iterdir()] == ["amp.cir"]


UNFIT = {
    ".tran 10u": "needs a step and a stop time above 0",
    ".tf v(out) vdd": "is not an analysis; known are op, ac",
    ".meas op vo find v(out)": "`meas` reads no op analysis",
    ".meas noise nn max v(out)": "the unknown analysis 'noise'",
    ".meas tran slew max v(out)": "the unknown analysis 'tran'",
    ".meas ac 3m1 max vdb(out)": "'3m1' is no name for a metric",
    ".meas ac a:b max vdb(out)": "'a:b' is no name for a metric",
    ".meas ac far max vdb(nowhere)": "uses the net 'nowhere'",
    ".meas ac wrong max vdb(out)|2": "holds '|'",
    ".meas ac gbw param='peak*far'": "no metric and no parameter 'far'",
    ".meas ac p max par('v(out)*i(vdd)')": "`meas` as a command knows no param= and no par()",
    ".meas ac edge when vdb(out)='peak-3'": "no value before the run, and `meas` takes numbers",
    ".meas ac none": "incomplete",
    ".four 1meg v(out)": "kind: thd",
}


def test_a_card_that_a_spec_cannot_hold_is_left_out_and_told_with_its_line(tmp_path: Path) -> None:
    text = OTA.replace(".end\n", "\n".join([*UNFIT, ".meas ac peak max vdb(out)", ".end", ""]))
    deck = _deck(tmp_path, text)
    written = _written(deck)
    for card, reason in UNFIT.items():
        place = f"{deck}:{text.splitlines().index(card) + 1}: "
        assert [line for line in written.report if place in line and reason in line], (card, written.report)
    assert len([line for line in written.report if line.startswith("not lifted")]) == len(UNFIT)
    spec = read_spec(written.spec)
    assert [analysis.name for _, analysis in spec.analyses] == ["ac", "op"]
    assert [measure.name for _, measure in spec.measures if measure.take] == ["peak"]


def test_numbers_in_the_file_are_those_of_spice(ota: InitialSpec) -> None:
    for entry in yaml.safe_load(ota.spec.read_text())["variables"].values():
        assert parse_number(str(entry["min"])) < parse_number(str(entry["max"]))


CASCODE = f"""cascode
.param w1=10u rl=3k vb2=0.55 half={{vb2/2}}
vdd vdd 0 1.8
vin g 0 dc 0.6 ac 1
vstep g2 0 dc 0.6 pulse(0.6 0.7 1n 1n 1n 50n 100n)
vswept g3 0 0.5
vcas gc 0 1100m
cb gc 0 1p
vb gb 0 dc {{vb2}}
vhalf gh 0 dc {{half}}
vsense s 0 0
m1 x g s 0 n w={{w1}} l=0.5u
m2 out gc x 0 n w={{w1}} l=0.5u
m3 vdd gb out 0 n w={{w1}} l=0.5u
m4 vdd gh out 0 n w={{w1}} l=0.5u
m5 vdd g2 out 0 n w={{w1}} l=0.5u
m6 vdd g3 out 0 n w={{w1}} l=0.5u
r1 vdd out {{rl}}
{MODELS}.ac dec 10 1k 1g
.dc vswept 0 1 0.1
.end
"""


def test_a_bias_voltage_is_pointed_out_and_its_line_works_once_uncommented(tmp_path: Path) -> None:
    deck = _deck(tmp_path, CASCODE)
    path = _written(deck).spec
    assert list(read_spec(path).variables) == ["w1", "rl"], "nothing is sized that was not asked for"
    hints = [line.strip()[2:] for line in path.read_text().splitlines() if "bias voltage of" in line]
    assert [hint.split(":")[0] for hint in hints] == ["dc_vcas", "vb2"]
    assert "`.param dc_vcas=1100m` and `dc {dc_vcas}`" in hints[0]
    text = path.read_text()
    for hint in hints:
        text = text.replace(f"# {hint}", hint)
    path.write_text(text)
    deck.write_text(CASCODE.replace("vcas gc 0 1100m", ".param dc_vcas=1100m\nvcas gc 0 dc {dc_vcas}"))
    with CircuitProblem(read_spec(path)) as problem:
        start = problem.space.start
        assert start is not None and (start["dc_vcas"], start["vb2"]) == (1.1, 0.55)
        gains = [
            problem.evaluate({**start, "dc_vcas": volts}, "", 0).metrics["dc_gain"] for volts in (start["dc_vcas"], 0.8)
        ]
        assert abs(gains[0] - gains[1]) > 0.1, "the bias reaches the cascode's gate"


UPPER = """AN RC IN UPPER CASE
.PARAM RR=1K CC=1N
VIN IN 0 DC 1 AC 1 PULSE(0 1 0 1N 1N 5U 10U)
R1 IN OUT {RR}
C1 OUT 0 {CC}
.SAVE ALL
"""
UPPER_CARDS = {
    "bw": ".AC DEC 10 10 100MEG\n.MEAS AC BW WHEN VDB(OUT)=-3 FALL=1\n",
    "rise": ".TRAN 10N 5U UIC\n.MEAS TRAN RISE TRIG V(OUT) VAL=0.1 RISE=1 TARG V(OUT) VAL=0.9 RISE=LAST\n",
    "half": ".DC VIN 0 1 0.1\n.MEAS DC HALF FIND V(OUT) AT=0.5\n",
}


def test_a_deck_in_upper_case_measures_what_plain_ngspice_measures(tmp_path: Path) -> None:
    """Cards know no case, commands do. Plain ngspice gets an analysis at a time: of several it drops the measures."""
    path = _written(_deck(tmp_path, UPPER + "".join(UPPER_CARDS.values()) + ".END\n")).spec
    spec = read_spec(path)
    kinds = {measure.name: measure.kind for _, measure in spec.measures}
    assert kinds["dc_gain"] == "dc_gain" and kinds["supply_current"] == "supply_current", "suggested all the same"
    with CircuitProblem(spec) as problem:
        start = problem.space.start
        assert start is not None
        metrics = problem.evaluate(start, "", 0).metrics
    block = control_block([a for _, a in spec.analyses], [m for _, m in spec.measures], ["vin"])
    signed = read_printed(run_ngspice(UPPER.partition("\n")[2], block, tmp_path))
    for name, cards in UPPER_CARDS.items():
        own = printed(plain_batch(tmp_path, UPPER + cards + ".END\n"))[name]
        assert metrics[name] == pytest.approx(own, rel=1e-5) and signed[name] == pytest.approx(own, rel=1e-5)
    assert metrics["bandwidth"] == pytest.approx(1 / (2 * math.pi * 1e3 * 1e-9), rel=1e-3)


def test_a_spec_in_upper_case_runs(tmp_path: Path) -> None:
    (tmp_path / "amp.cir").write_text(UPPER + ".END\n")
    (tmp_path / "amp.yaml").write_text("""netlist: amp.cir
variables: {RR: {min: 100, max: 10K}}
analyses: {ac: AC DEC 10 10 100MEG, noise: NOISE V(OUT) VIN DEC 100 10 100MEG, op: OP}
measures:
  level: {in: ac, take: FIND VDB(OUT) AT=1MEG}
  noise: {in: noise, kind: output_noise}
  input: {in: op, kind: voltage, node: IN}
specs: {level: {min: -100}}
""")
    with CircuitProblem(read_spec(tmp_path / "amp.yaml")) as problem:
        metrics = problem.evaluate({"rr": 1e3}, "", 0).metrics
    w = 2 * math.pi * 1e6 * 1e3 * 1e-9
    assert metrics["level"] == pytest.approx(-10 * math.log10(1 + w * w), abs=0.01)
    assert metrics["noise"] == pytest.approx(math.sqrt(1.380649e-23 * 300.15 / 1e-9), rel=0.02), "kT/C"
    assert metrics["input"] == 1.0


def test_a_deck_that_begins_at_initial_conditions_is_asked_for_no_operating_point(tmp_path: Path) -> None:
    text = "t\n.param rl=1k\ni1 0 out 1u\nc1 out 0 1p ic=0\nv1 a 0 1\nr1 a b {rl}\nr2 b 0 1k\n"
    text += ".tran 10n 1u uic\n.meas tran top max v(out)\n.end\n"
    spec = read_spec(_written(_deck(tmp_path, text)).spec)
    assert [analysis.command for _, analysis in spec.analyses] == ["tran 10n 1u uic"]
    with CircuitProblem(spec) as problem:
        top = problem.evaluate({"rl": 1e3}, "", 0).metrics["top"]
    assert top == pytest.approx(1e-6 * 1e-6 / 1e-12, rel=1e-3), "I t / C"


SPELLINGS = "w1=1e-5 l1={5E-7} rl=+3.0E3 c1=.5e-12f m1=2e0 w2='2*w1' k=agauss(1u,1n,1) w3='2*1u'"


def test_numbers_in_scientific_notation_are_numbers(tmp_path: Path) -> None:
    devices = "m1 out g 0 0 n w={w1} l={l1} m={m1}\nm2 out g 0 0 n w={w2} l={k}\nm3 out g 0 0 n w={w3} l=1u\n"
    text = f"t\n.param {SPELLINGS}\nv1 vdd 0 1\n{devices}r1 vdd out {{rl}}\nc1 vdd out {{c1}}\n{MODELS}.end\n"
    deck = read_deck(_deck(tmp_path, text))
    assert set(sizing_parameters(deck)) == {"w1", "l1", "rl", "c1", "m1", "w3"}
    values = printed(batch(tmp_path, text.splitlines(), ["op", "print @m1[w] @m1[l] @r1[resistance]"]))
    starts = [deck.parameter(name).start for name in ("w1", "l1", "rl")]
    assert list(values.values()) == pytest.approx(starts, rel=1e-9)


BIPOLAR = """common emitter
.param rc=5k area=2
vcc vcc 0 5
vin in 0 dc 0.65 ac 1
q1 c in 0 qn area={area}
q2 c in 0 qn area=3 m=2
rc vcc c {rc}
.model qn npn(bf=100 is=1e-15)
.ac dec 10 10 1g
.end
"""


def test_the_areas_of_bipolar_transistors_vary(tmp_path: Path) -> None:
    spec = read_spec(_written(_deck(tmp_path, BIPOLAR), lift=True).spec)
    assert set(spec.variables) == {"area", "area_q2", "m_q2", "rc"}
    assert spec.variables["m_q2"].integer and not spec.variables["area_q2"].integer
    with CircuitProblem(spec) as problem:
        start = {"area": 2.0, "area_q2": 3.0, "m_q2": 2.0, "rc": 100.0}
        drawn = [problem.evaluate({**start, "area": area}, "", 0).metrics["supply_current"] for area in (2.0, 10.0)]
    assert drawn[1] / drawn[0] == pytest.approx((10 + 3 * 2) / (2 + 3 * 2), rel=1e-3), "the current goes with the area"


HIERARCHY = """an amplifier in two levels
.param wn=10u k=2 rl=1k um=1u vdd=1.8 scaled={2*wn}
vdd vdd 0 {vdd}
vin in 0 dc 0.9 ac 1
x1 in out vdd amp w1={scaled} rload='rl*2' m={k}
rb vdd 0 {vdd/10u}
.subckt amp in out vdd w1=1u rload=7k wdefault=5u
x1 out in pair w='w1*1'
r1 vdd out {rload}
x2 vdd in pair w={wdefault}
.ends
.subckt pair d g w=1u
m1 d g 0 0 n w={w} l=1u
m2 d g 0 0 n w={w} l=1u
.ends
.model n nmos level=1 vto=0.4 kp=100u lambda=0
.ac dec 10 1k 1g
.end
"""


def test_parameters_that_set_sizes_through_instances_vary(tmp_path: Path) -> None:
    spec = read_spec(_written(_deck(tmp_path, HIERARCHY)).spec)
    assert list(spec.variables) == ["wn", "k", "rl"], "none of the supply, and nothing lifted"
    assert spec.variables["k"].integer and str(spec.decks[""]).endswith("amp.cir")
    with CircuitProblem(spec) as problem:
        assert problem.space.start == {"wn": 10e-6, "k": 2, "rl": 1e3}
        slots = {node.name: dict(node.slots) for node in problem.space.nodes if node.slots}
        assert slots == {
            "m.x1.x1.m1": {"w": "wn", "m": "k"},
            "m.x1.x1.m2": {"w": "wn", "m": "k"},
            "r.x1.r1": {"r": "rl", "m": "k"},
            "m.x1.x2.m1": {"m": "k"},
            "m.x1.x2.m2": {"m": "k"},
        }
        for point in ({"wn": 10e-6, "k": 2.0, "rl": 100.0}, {"wn": 20e-6, "k": 3.0, "rl": 100.0}):
            current = problem.evaluate(point, "", 0).metrics["supply_current"]
            # two transistors a pair, of 2 wn and of 5 um, both saturated, k times; and the resistor of 1.8 V at 10 uA
            square = 2 * point["k"] * (2 * point["wn"] + 5e-6) / 1e-6 * 50e-6 * 0.5**2
            assert current == pytest.approx(square + 1e-5, rel=1e-3)


def test_a_hierarchy_is_sized(tmp_path: Path) -> None:
    path = _written(_deck(tmp_path, HIERARCHY)).spec
    command = ["size", str(path), "--seed", "0", "--jobs", "1", "--budget", "4", "-o", str(tmp_path / "run")]
    run = sizewise(tmp_path, *command)
    assert "a fresh `ngspice -n -b` confirms" in run.out, run
