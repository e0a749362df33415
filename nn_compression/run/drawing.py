"""A picture of what was kept of each layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from automl_core.report.figures import COLOURS
from nn_compression.run.kept import KeptLayer

__all__ = ["kept_figure"]

_WIDTH, _INCHES_A_LAYER, _PANEL = 7.0, 0.22, 2.2
_LEGIBLE = 48
"""Layers whose names still fit below the bars; of more, every second, third, ... is named."""


def kept_figure(layers: Sequence[KeptLayer], title: str) -> Figure:
    """One bar a layer, in data-flow order, coloured by its kind: channels, weights, MACs and bits that were kept.

    A panel is left out where its figure is the same as before in every layer.

    Args:
        layers: before and after.
        title: above it.
    """
    panels = [(label, read) for label, read in _PANELS if any(read(layer) != _WHOLE[label] for layer in layers)]
    panels = panels or list(_PANELS[:1])
    width = max(_WIDTH, 2.0 + _INCHES_A_LAYER * min(len(layers), 4 * _LEGIBLE))
    figure = Figure((width, 1.6 + _PANEL * len(panels)), layout="constrained")
    axes = list(figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0])
    kinds = list(dict.fromkeys(layer.kind for layer in layers))
    colour = {kind: COLOURS[at % len(COLOURS)] for at, kind in enumerate(kinds)}
    for panel, (label, read) in zip(axes, panels, strict=True):
        _bars(panel, [read(layer) for layer in layers], [colour[layer.kind] for layer in layers])
        panel.set_ylabel(label)
        panel.set_ylim(0, _WHOLE[label] * 1.05)
    _name_layers(axes[-1], [layer.name for layer in layers])
    axes[0].set_title(title)
    handles = [Patch(color=colour[kind], label=kind) for kind in kinds]
    figure.legend(handles=handles, loc="outside lower center", frameon=False, ncols=max(len(kinds), 1))
    return figure


def _share(after: int, before: int) -> float:
    return 100.0 * after / before if before else 100.0


_Reading = Callable[[KeptLayer], float]

_PANELS: tuple[tuple[str, _Reading], ...] = (
    ("channels made (%)", lambda layer: _share(layer.outputs, layer.outputs_before)),
    ("weights kept (%)", lambda layer: _share(layer.weights, layer.weights_before)),
    ("MACs (%)", lambda layer: _share(layer.macs, layer.macs_before)),
    ("bits of weights", lambda layer: float(layer.weight_bits)),
    ("bits of activations", lambda layer: float(layer.activation_bits)),
)
_WHOLE = {label: 32.0 if label.startswith("bits") else 100.0 for label, _ in _PANELS}


def _bars(panel: Axes, heights: Sequence[float], colours: Sequence[str]) -> None:
    panel.bar(range(len(heights)), heights, color=colours, width=0.8)
    panel.spines[["top", "right"]].set_visible(False)


def _name_layers(panel: Axes, names: Sequence[str]) -> None:
    step = -(-len(names) // _LEGIBLE)
    panel.set_xticks(range(0, len(names), step), names[::step], rotation=90, fontsize=7)
