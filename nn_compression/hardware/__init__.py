"""Machines that are not here, by closed-form models. Every figure of theirs is modelled, and has to be shown so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from automl_core.errors import InputError
from automl_core.nearest import did_you_mean
from nn_compression.graph.tracing import Layer
from nn_compression.hardware.bit_serial import BitSerial
from nn_compression.hardware.roofline import Roofline, read_roofline
from nn_compression.hardware.spatial import Spatial
from nn_compression.quantization.bits import FLOAT, Bits

__all__ = [
    "HARDWARE",
    "BitSerial",
    "Hardware",
    "Roofline",
    "Spatial",
    "energy",
    "latency",
    "load_hardware",
    "read_roofline",
]


class Hardware(Protocol):
    """A machine with a closed-form model."""

    @property
    def name(self) -> str:
        """For tables."""

    def latency(self, layer: Layer, bits: Bits = FLOAT) -> float:
        """Modelled seconds for one example."""

    def energy(self, layer: Layer, bits: Bits = FLOAT) -> float:
        """Modelled joules for one example."""


HARDWARE: Mapping[str, Hardware] = {"edge": BitSerial(), "cloud": Spatial()}
"""The machines that have a name."""


def load_hardware(reference: str) -> Hardware:
    """A machine by its name, or from a YAML file of its peaks.

    Raises:
        InputError: there is no such machine or file, or something is wrong with the file.
    """
    if reference in HARDWARE:
        return HARDWARE[reference]
    path = Path(reference)
    if path.suffix in (".yaml", ".yml") or path.exists():
        return read_roofline(path)
    remedy = f"{did_you_mean(reference, HARDWARE, 'the machines')}; or give a YAML file of its peaks"
    raise InputError(f"there is no machine {reference!r}", place="hardware", remedy=remedy)


def latency(machine: Hardware, layers: Iterable[Layer], bits: Mapping[str, Bits]) -> float:
    """Modelled seconds of a network for one example, its layers one after the other; one not named is in floats."""
    return sum(machine.latency(layer, bits.get(layer.name, FLOAT)) for layer in layers)


def energy(machine: Hardware, layers: Iterable[Layer], bits: Mapping[str, Bits]) -> float:
    """Modelled joules of a network for one example; a layer that is not named is in floats.

    Raises:
        InputError: the machine's energies are not known.
    """
    return sum(machine.energy(layer, bits.get(layer.name, FLOAT)) for layer in layers)
