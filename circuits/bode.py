"""The Bode plot of a sized circuit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, NullFormatter

from circuits.bench import Array

__all__ = ["bode"]


def bode(waveforms: Mapping[str, tuple[Array, Array]], metrics: Mapping[str, float]) -> Figure:
    """Magnitude in dB and phase in degrees over frequency.

    Args:
        waveforms: label -> (frequency in Hz, complex response), each of shape (n,).
        metrics: a ``unity_gain_frequency`` among them is marked.
    """
    figure = Figure((7.0, 5.0), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True)
    for label, (frequency, response) in waveforms.items():
        hertz = np.real(frequency)
        with np.errstate(divide="ignore"):
            upper.semilogx(hertz, 20 * np.log10(np.abs(response)), label=label)
        lower.semilogx(hertz, np.degrees(np.unwrap(np.angle(response))))
    crossing = metrics.get("unity_gain_frequency", float("nan"))
    for panel in (upper, lower):
        panel.grid(alpha=0.3, which="both")
        if np.isfinite(crossing):
            panel.axvline(crossing, color="C3", ls="--", lw=1, label="unity gain" if panel is upper else None)
    upper.set_ylabel("magnitude (dB)")
    lower.set_ylabel("phase (deg)")
    lower.set_xlabel("frequency (Hz)")
    lower.xaxis.set_major_formatter(EngFormatter(places=0, sep=""))  # 10k, 10M; formulae (10^4) take long to set
    lower.xaxis.set_minor_formatter(NullFormatter())
    upper.legend(frameon=False)
    return figure
