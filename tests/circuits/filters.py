"""Filters whose figures have closed forms, as decks with specs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from circuits.problem import CircuitProblem
from circuits.specfile import read_spec

LOW_PASS = """low pass
.param rser=1k cload=1n
vin in 0 dc 1 ac 1
r1 in out {rser}
c1 out 0 {cload}
.end
"""

SPEC = """netlist: low_pass.cir
variables:
  rser: {min: 100, max: 10k, scale: log}
  cload: {min: 100p, max: 10n, scale: log}
analyses:
  ac: "ac dec 50 100 1G"
measures:
  bandwidth: {in: ac, kind: bandwidth, node: out}
  gain: {in: ac, take: "max vdb(out)"}
specs:
  bandwidth: {min: 1Meg, max: 2Meg, unit: Hz}
  gain: {min: -1, unit: dB}
"""

STEP = """step; no result at k = 2 (a resistor without end) nor above 2.5 (a source without a solution)
.param rser=1k k=1
vs in 0 dc 0 pulse(0 1 0 1p 1p 1 2)
r1 in out {rser}
c1 out 0 2n
r9 out 0 {1meg/(2-k)}
b1 bad 0 v={k} > 2.5 ? exp(1000*v(bad)) : 0
r8 bad 0 1k
.end
"""

TWO = """testbenches: {small: low_pass.cir, step: step.cir}
variables:
  rser: {min: 100, max: 10k, scale: log}
  cload: {min: 100p, max: 10n, scale: log}
  k: {min: 0, max: 5}
analyses:
  ac: {bench: small, run: "ac dec 50 100 1G"}
  tran: {bench: step, run: "tran 10n 20u"}
measures:
  bandwidth: {in: ac, kind: bandwidth, node: out}
  half: {in: tran, take: "when v(out)=0.5 rise=1"}
specs:
  bandwidth: {min: 1Meg, unit: Hz}
  half: {max: 1u}
"""


def low_pass(folder: Path, deck: str = LOW_PASS, spec: str = SPEC) -> Path:
    """The spec of a deck with one pole."""
    (folder / "low_pass.cir").write_text(deck)
    (folder / "low_pass.yaml").write_text(spec)
    return folder / "low_pass.yaml"


def two_benches(folder: Path, spec: str = TWO) -> Path:
    """The spec of the low pass and of a step response of its resistor with 2 nF."""
    (folder / "low_pass.cir").write_text(LOW_PASS)
    (folder / "step.cir").write_text(STEP)
    (folder / "two.yaml").write_text(spec)
    return folder / "two.yaml"


def problem_of(spec: Path, **settings: object) -> CircuitProblem:
    return CircuitProblem(read_spec(spec), **settings)  # type: ignore[arg-type]


def pole(rser: float, cload: float) -> object:
    """The -3 dB frequency of the low pass."""
    return pytest.approx(1 / (2 * math.pi * rser * cload), rel=2e-3)


def half_time(rser: float, k: float) -> object:
    """When the step response passes half a volt."""
    load = 1e6 / (2 - k)
    final = load / (load + rser)
    return pytest.approx(rser * load / (rser + load) * 2e-9 * -math.log(1 - 0.5 / final), rel=3e-3)
