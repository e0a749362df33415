"""The decks of a spec: what may not be read is refused with the line that allows it, wherever the spec lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl_core.errors import InputError
from circuits.decks import deck_of
from circuits.specfile import read_spec
from tests.circuits.deck_runs import batch, needs_ngspice, printed
from tests.circuits.filters import SPEC

DECK = """low pass
.include {includes}
.param rser=1k cload=1n
vin in 0 dc 1 ac 1
r1 in out {{rser}}
c1 out 0 {{cload}}
.end
"""


@pytest.mark.parametrize("folder", ["models", "my models", "k#1", "-odd"])
@pytest.mark.parametrize("spec_folder", [".", "specs", "work", "work/deeper"])
def test_the_line_that_a_refusal_prints_allows_the_include(tmp_path: Path, folder: str, spec_folder: str) -> None:
    for name, own in (("one", "first"), (folder, "second")):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"{own}.inc").write_text(f".param {own}=1\n")
    here = tmp_path / spec_folder
    (tmp_path / "work").mkdir()
    here.mkdir(parents=True, exist_ok=True)
    includes = f"'{tmp_path}/one/first.inc'\n.include '{tmp_path}/{folder}/second.inc'"
    (tmp_path / "work/low_pass.cir").write_text(DECK.format(includes=includes))
    body = SPEC.replace("netlist: low_pass.cir\n", f"netlist: {tmp_path}/work/low_pass.cir\n")
    line = ""
    for _ in range(2):  # each refusal names one more folder, and repeats those that are allowed
        (here / "spec.yaml").write_text(f"{line}\n{body}")
        with pytest.raises(InputError) as refused:
            deck_of(read_spec(here / "spec.yaml"), "")
        _, _, line = str(refused.value.remedy).partition("write in spec.yaml: ")
        assert line.startswith("include_paths: [")
    (here / "spec.yaml").write_text(f"{line}\n{body}")
    deck = deck_of(read_spec(here / "spec.yaml"), "")
    assert {"first", "second"} <= {parameter.name for parameter in deck.parameters}


def _read(folder: Path, body: str, analysis: str) -> None:
    (folder / "low_pass.cir").write_text(f"low pass\n.param rser=1k cload=1n\n{body}\n.end\n")
    spec = f"""netlist: low_pass.cir
variables: {{rser: {{min: 1, max: 10k}}}}
analyses: {{a: "{analysis}"}}
measures: {{top: {{in: a, take: "max v(out)"}}}}
specs: {{top: {{min: 1}}}}
"""
    (folder / "spec.yaml").write_text(spec)
    deck_of(read_spec(folder / "spec.yaml"), "")


@needs_ngspice
@pytest.mark.parametrize("parameters", ["", " r=1k c=1p", " w=1"])
def test_a_net_behind_a_filter_does_not_float(tmp_path: Path, parameters: str) -> None:
    """A current reaches a gate through a subcircuit's resistor; ngspice finds the source's voltage there."""
    values = ("{w*1k}", "{w*1p}") if "w" in parameters else ("{r}", "{c}") if parameters else ("1k", "1p")
    body = f"""vin in 0 0.7
x1 in g 0 filter
.subckt filter p q b{parameters}
r1 p q {values[0]}
c1 q b {values[1]}
.ends
m1 out g 0 0 n
r1 in out {{rser}}
.model n nmos level=1"""
    _read(tmp_path, body, "tran 1n 1u")
    lines = (tmp_path / "low_pass.cir").read_text().splitlines()
    assert printed(batch(tmp_path, lines, ["op", "print v(g)"]))["v(g)"] == pytest.approx(0.7, rel=1e-6)


CHARGED = "i1 0 out 1u\nc1 out 0 {cload} ic=0\nv1 a 0 1\nr1 a 0 {rser}"


@needs_ngspice
def test_a_net_may_float_where_nothing_asks_for_its_voltage_at_dc(tmp_path: Path) -> None:
    _read(tmp_path, CHARGED, "tran 10n 1u UIC")
    lines = (tmp_path / "low_pass.cir").read_text().splitlines()
    found = printed(batch(tmp_path, lines, ["tran 10n 1u uic", "print v(out)[length(v(out))-1]"]))
    assert list(found.values()) == [pytest.approx(1e-6 * 1e-6 / 1e-9, rel=1e-3)], "I t / C"
    with pytest.raises(InputError, match="the net 'out' at i1 floats") as refused:
        _read(tmp_path, CHARGED, "tran 10n 1u")
    assert ".options rshunt=1e12 in the deck" in str(refused.value.remedy)
    _read(tmp_path, f"{CHARGED}\n.options rshunt=1e12", "tran 10n 1u")
