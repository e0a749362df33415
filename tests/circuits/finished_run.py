"""A sizing run to its end, of a low pass whose deck lies in three files."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automl_core.study import Study
from circuits.results import Results, draw_results, write_results
from circuits.sizing import Settings, SizingRun
from tests.circuits.filters import SPEC

DECK = (
    "low pass, as its designer keeps it\r\n"
    "* .param rser=9k is only a comment\r\n"
    ".include 'parts/values.inc'\r\n"
    ".include ../kit/driver.inc\r\n"
    "r1 in out {rser}   ; the resistor\r\n"
    "c1 out 0 {cload}\r\n"
    ".end\r\n"
)
VALUES = "* values\n.param  rser = 1k   other={rser/2}\n.param cload='1n' $ farads\nr2 out 0 {100*other*1k}\n"
DRIVER = "* driver\nvin in 0 dc 1 ac 1\n"


@dataclass(frozen=True)
class Finished:
    """A run to its end."""

    home: Path
    run: Path
    study: Study
    results: Results
    figures: tuple[Path, ...]
    best: dict[str, Any]


def finish(home: Path, spec: str = SPEC) -> Finished:
    """Size the low pass in an empty folder, with its deck in three files."""
    for name, text in {"amp/low_pass.cir": DECK, "amp/parts/values.inc": VALUES, "kit/driver.inc": DRIVER}.items():
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_bytes(text.encode())
    spec = spec.replace("netlist: low_pass.cir", "netlist: low_pass.cir\ninclude_paths: [../kit]")
    (home / "amp" / "low_pass.yaml").write_text(spec)
    run = home / "run"

    def make() -> Path:
        run.mkdir()
        return run

    sizing = SizingRun.begin(home / "amp" / "low_pass.yaml", make, Settings(seed=1, budget="200"), "sizewise size x")
    study, _ = sizing.execute(1, lambda _: None)
    assert study.best is not None
    results = write_results(run, sizing.problem, study, sizing.facts, study.best, began=time.monotonic() - 1000)
    figures = draw_results(run, sizing.problem, study, results)
    sizing.record.close()
    return Finished(home, run, study, results, figures, json.loads((run / "best.json").read_text()))
