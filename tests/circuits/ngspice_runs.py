"""What the tests of measures share: waveforms as plots, and runs of ``ngspice -n -b`` in a private folder."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from circuits.bench import Analysis, Measure
from circuits.measures import KINDS
from circuits.signoff import control_block, read_printed


@dataclass
class Waveforms:
    """A plot made of arrays."""

    scale: np.ndarray
    vectors: dict[str, np.ndarray] = field(default_factory=dict)

    def vector(self, name: str) -> np.ndarray:
        return self.vectors[name]


def run_ngspice(deck: str, control: list[str], folder: Path) -> str:
    """The standard output of a fresh ngspice; everything that it reads lies in the folder."""
    lines = ["a deck of the tests", *deck.strip().splitlines(), ".control", "set num_threads=1", "set ng_nomodcheck"]
    (folder / "deck.cir").write_text("\n".join([*lines, *control, "quit 0", ".endc", ".end", ""]))
    ran = subprocess.run(
        ["ngspice", "-n", "-b", "deck.cir"],
        cwd=folder,
        env={**os.environ, "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    (folder / "errors.txt").write_text(ran.stderr)
    return ran.stdout


def read_raw(file: Path) -> Waveforms:
    """A raw file in ngspice's binary format, one plot, the scale first."""
    head, _, data = file.read_bytes().partition(b"Binary:\n")
    text = head.decode()
    count = int(re.search(r"No\. Variables: (\d+)", text)[1])
    names = re.findall(r"^\t\d+\t(\S+)\t", text, re.MULTILINE)
    values = np.frombuffer(data, dtype=complex if "Flags: complex" in text else float).reshape(-1, count)
    names = [name[2:-1] if name.startswith("v(@") else name for name in names]  # "v(@m1[vds])"
    columns = {name: values[:, index] for index, name in enumerate(names)}
    return Waveforms(np.real(values[:, 0]), columns)


def both_ways(
    deck: str, analyses: list[Analysis], measures: list[Measure], sources: list[str], folder: Path
) -> tuple[dict[str, float], dict[str, float]]:
    """Every metric as ngspice prints it, and as numpy computes it on the waveforms of a second run."""
    printed = read_printed(run_ngspice(deck, control_block(analyses, measures, sources), folder))
    plots = _waveforms(deck, analyses, measures, sources, folder)
    computed = {each.name: KINDS[each.kind].compute(plots, each.analysis, each.arguments) for each in measures}
    return printed, computed


def _waveforms(
    deck: str, analyses: list[Analysis], measures: list[Measure], sources: list[str], folder: Path
) -> dict[str, Waveforms]:
    """Each analysis in a run of its own, so that it shares nothing with the control block."""
    plots = {}
    for analysis in analyses:
        stimulus = dict(analysis.stimulus)
        alters = [f"alter {source} acmag={stimulus.get(source, 0)}" for source in sources if stimulus]
        quantities = sorted(
            {
                name
                for each in measures
                if analysis.name == each.analysis
                for name in KINDS[each.kind].vectors(each.arguments)
                if name.startswith("@")
            }
        )
        spectra = ["setplot previous"] if analysis.kind == "noise" else []
        saves = [f"save all {' '.join(quantities)}"] if quantities else []
        run_ngspice(deck, [*alters, *saves, analysis.command, *spectra, "write plot.raw"], folder)
        plots[analysis.name] = read_raw(folder / "plot.raw")
    return plots
