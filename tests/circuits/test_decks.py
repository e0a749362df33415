"""The decks of a spec: what may not be read is refused with the line that allows it, wherever the spec lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from automl_core.errors import InputError
from circuits.decks import deck_of
from circuits.specfile import read_spec
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
