"""What ngspice stores: only what measures read, with the figures, waveforms and operating points of a whole run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from circuits.bench import Analysis, Bench, Measure
from circuits.simulator import Simulator
from circuits.stored_vectors import StoredVectors
from tests.circuits.test_simulator import AMPLIFIER

NETS = {"vdd", "in", "p", "out", "e"}
GAIN = Measure("gain", "ac", kind="dc_gain", arguments={"node": "out"})
CURRENT = Measure("current", "op", kind="supply_current", arguments={"source": "vdd"})
MARGIN = Measure("margin", "op", kind="saturation_margin", arguments={"devices": "m1, m2"})
FEW = replace(AMPLIFIER, analyses=AMPLIFIER.analyses[:3], measures=(GAIN, CURRENT, MARGIN))
POINTS = [{"w": 1e-5, "rl": 2e4, "ib": 2e-5}, {"w": 3e-5, "rl": 1e4, "ib": 5e-5}, {"w": 5e-6, "rl": 4e4, "ib": 1e-5}]


@pytest.fixture(params=["alter", "reset"])
def few(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    with Simulator(replace(FEW, mode=request.param), limit_seconds=30) as simulator:
        yield simulator


def _everything(bench: Bench) -> list[dict[str, float]]:
    """The figures where all is stored: a noise analysis has ngspice store all, and another child each point."""
    noisy = replace(bench, analyses=(*bench.analyses, Analysis("noise", "noise v(out) vin dec 2 1k 1g")))
    found = []
    for point in POINTS:
        with Simulator(noisy, limit_seconds=30) as simulator:
            found.append(dict(simulator.evaluate(point).metrics))
    return found


def test_figures_are_those_of_a_run_that_stores_everything(few: Simulator) -> None:
    expected = _everything(few.bench)
    for _ in range(2):
        assert [simulator.metrics for simulator in map(few.evaluate, POINTS)] == expected


def test_waveforms_that_no_measure_reads_are_still_to_be_had(few: Simulator) -> None:
    before = [few.evaluate(point).metrics for point in POINTS]
    waves = few.evaluate(POINTS[1], waveforms={"ac": (), "tran": ("v(e)", "i(vdd)")}).waveforms
    assert set(waves["ac"]) > NETS | {"frequency"}
    assert set(waves["tran"]) == {"time", "v(e)", "i(vdd)"}
    assert np.ptp(waves["tran"]["v(e)"]) > 0
    assert [few.evaluate(point).metrics for point in POINTS] == before


def test_devices_are_observed_all_the_same(few: Simulator) -> None:
    seen = [few.evaluate(point, observe=True).observations for point in POINTS]
    again = [few.evaluate(point, observe=True).observations for point in POINTS]
    assert seen == again
    assert set(seen[0]) == {"m1", "m2", "m3", "m4"} and seen[0]["m1"]["gm"] > 0


class _Recording:
    """A library that only listens."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def command(self, line: bytes) -> None:
        self.heard.append(line.decode())


class _Names:
    def __init__(self, *names: str) -> None:
        self._names = names

    def find(self, name: str) -> tuple[int, bytes] | None:
        return (0, name.encode()) if name in self._names else None


def test_only_what_changes_is_said() -> None:
    library = _Recording()
    stored = StoredVectors(library)  # type: ignore[arg-type]
    stored.begin(everything=False)
    assert library.heard == [], "nothing is known yet"
    names = [_Names("v(out)", "i(vdd)"), _Names("v(out)")]
    stored.learn(["v(out)", "@m1[gm]", "i(vdd)", "v(out)"], names)  # type: ignore[arg-type]
    for everything in (False, False, True, True, False):
        stored.begin(everything=everything)
    assert library.heard == ["save v(out)", "delete all", "save v(out)"], "i(vdd) is not in every analysis"
    library.heard.clear()
    stored.add(("@m1[vds]",))
    stored.restore()
    stored.expanded()
    stored.add(("@m1[vds]",))
    assert library.heard == ["save @m1[vds]", "delete all", "save v(out)", "save all @m1[vds]"]


@pytest.mark.parametrize(("analysis", "take"), [("ac", "max vdb(e)"), ("tran", "max v(p)")])
def test_phrases_of_meas_find_every_net(analysis: str, take: str) -> None:
    bench = replace(FEW, measures=(GAIN, Measure("phrase", analysis, take=take)))
    with Simulator(bench, limit_seconds=30) as simulator:
        figures = [simulator.evaluate(point).metrics["phrase"] for point in POINTS]
    assert np.isfinite(figures).all() and len(set(figures)) == len(POINTS)
