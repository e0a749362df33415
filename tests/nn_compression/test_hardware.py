"""Modelled machines: against closed forms worked out by hand, and what HAQ's latency table shows."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from automl_core.errors import InputError
from nn_compression.graph.tracing import Layer, trace
from nn_compression.hardware import HARDWARE, BitSerial, Roofline, Spatial, energy, latency, load_hardware
from nn_compression.hardware.workload import Workload, traffic_bits
from nn_compression.quantization.bits import Bits


def layers_of(*modules: nn.Module, channels: int = 96, size: int = 8) -> tuple[Layer, ...]:
    return trace(nn.Sequential(*modules), torch.zeros(1, channels, size, size)).layers


def depthwise() -> Layer:
    return layers_of(nn.Conv2d(96, 96, 3, padding=1, groups=96, bias=False))[0]


def pointwise() -> Layer:
    return layers_of(nn.Conv2d(96, 96, 1, bias=False))[0]


def test_a_convolution_is_a_product_for_each_group() -> None:
    layer = layers_of(nn.Conv2d(96, 48, 3, stride=2, padding=1, groups=4))[0]
    work = Workload.of(layer)
    assert (work.groups, work.outputs, work.reduction, work.positions) == (4, 12, 24 * 9, 16)
    assert work.groups * work.outputs * work.reduction * work.positions == work.macs == layer.macs


def test_traffic_is_weights_once_a_batch_and_every_value_of_the_input_twice() -> None:
    layer = pointwise()
    assert traffic_bits(layer, Bits(4, 8), batch=16) == 96 * 96 * 4 / 16 + 2 * 96 * 64 * 8


def test_a_map_is_written_at_the_width_it_is_read_at() -> None:
    """An expansion of 8 channels to 96, which a depthwise layer reads: its 2 bits make no 8-bit map cheaper."""
    layers = trace(nn.Sequential(nn.Conv2d(8, 96, 1), nn.Conv2d(96, 96, 3, groups=96)), torch.zeros(1, 8, 8, 8)).layers
    expand, spatial = layers
    saved = traffic_bits(expand, Bits(4, 8)) - traffic_bits(expand, Bits(4, 2))
    assert saved == 2 * 8 * 64 * 6
    assert traffic_bits(spatial, Bits(4, 8)) - traffic_bits(spatial, Bits(4, 4)) == 2 * 96 * 64 * 4


@pytest.mark.parametrize("kind", [nn.Embedding, nn.EmbeddingBag])
def test_an_embedding_reads_the_rows_that_it_looks_up(kind: type[nn.Embedding] | type[nn.EmbeddingBag]) -> None:
    (layer,) = trace(nn.Sequential(kind(50_000, 128)), torch.zeros(1, 16, dtype=torch.int64)).layers
    for batch in (1, 16):
        assert traffic_bits(layer, Bits(), batch) == 32 * (16 * 128 + 2 * 16)
    (larger,) = trace(nn.Sequential(kind(100_000, 128)), torch.zeros(1, 16, dtype=torch.int64)).layers
    assert HARDWARE["edge"].latency(larger) == HARDWARE["edge"].latency(layer)


def test_the_bit_serial_machine_takes_bits_times_bits_or_the_bus() -> None:
    machine = BitSerial(lanes=1000, bus=64, clock=1e6)
    layer = pointwise()
    assert machine.cycles(layer, Bits(3, 5)) == (
        -(-96 * 96 * 64 * 15 // 1000),
        -(-(96 * 96 * 3 + 2 * 96 * 64 * 5) // 64),
    )
    assert machine.latency(layer, Bits(3, 5)) == max(machine.cycles(layer, Bits(3, 5))) / 1e6
    expected = 96 * 96 * 64 * 15 * machine.joules_per_product + (96 * 96 * 3 + 2 * 96 * 64 * 5) * machine.joules_per_bit
    assert machine.energy(layer, Bits(3, 5)) == pytest.approx(expected)


def test_on_the_edge_depthwise_layers_are_bound_by_activations_and_pointwise_ones_by_both() -> None:
    edge, thin, wide = HARDWARE["edge"], depthwise(), pointwise()
    base = edge.latency(thin, Bits(8, 8))
    assert edge.latency(thin, Bits(4, 8)) == pytest.approx(base, rel=0.05)
    assert edge.latency(thin, Bits(8, 4)) == pytest.approx(base / 2, rel=0.1)
    assert edge.latency(wide, Bits(4, 4)) == pytest.approx(edge.latency(wide, Bits(8, 8)) / 4, rel=0.01)
    assert edge.latency(wide, Bits(4, 8)) == pytest.approx(edge.latency(wide, Bits(8, 8)) / 2, rel=0.01)


def test_in_the_cloud_the_bits_of_a_depthwise_layer_buy_nothing() -> None:
    cloud = HARDWARE["cloud"]
    assert cloud.latency(depthwise(), Bits(2, 8)) == cloud.latency(depthwise(), Bits(8, 8))
    assert cloud.latency(pointwise(), Bits(4, 4)) < 0.5 * cloud.latency(pointwise(), Bits(8, 8))


def test_the_spatial_machine_counts_whole_rows_and_columns_and_widths_of_two_four_and_eight() -> None:
    machine = Spatial(rows=16, columns=16, bus=10**9, clock=1.0, batch=1)
    assert machine.latency(pointwise(), Bits(8, 8)) == 6 * 6 * 64
    assert machine.latency(pointwise(), Bits(4, 4)) == 2 * 6 * 64  # 24 units of work on 16 rows: two rounds
    assert machine.latency(pointwise(), Bits(3, 8)) == machine.latency(pointwise(), Bits(4, 7)) == 3 * 6 * 64
    assert machine.latency(pointwise(), Bits(1, 1)) == machine.latency(pointwise(), Bits(2, 2)) == 1 * 6 * 64
    assert machine.latency(depthwise(), Bits(8, 8)) == 1 * 6 * 64
    memory_bound = Spatial(rows=10**6, columns=10**6, bus=8, clock=1.0, batch=4)
    assert memory_bound.latency(pointwise(), Bits(8, 8)) == 96 * 96 / 4 + 2 * 96 * 64


@pytest.mark.parametrize("machine", list(HARDWARE.values()), ids=list(HARDWARE))
def test_no_figure_falls_where_bits_are_added(machine: BitSerial | Spatial) -> None:
    for layer in (depthwise(), pointwise()):
        for figure in (machine.latency, machine.energy):
            grid = torch.tensor([[figure(layer, Bits(w, a)) for a in (*range(1, 9), 32)] for w in (*range(1, 9), 32)])
            assert bool((grid.diff(dim=0) >= 0).all() and (grid.diff(dim=1) >= 0).all() and (grid > 0).all())


@pytest.mark.parametrize("reference", ["edge", "cloud"])
def test_every_kind_of_layer_has_a_figure(reference: str) -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.lstm = nn.Embedding(10, 8), nn.LSTM(8, 6, batch_first=True)
            self.attention, self.linear = nn.MultiheadAttention(6, 2, batch_first=True), nn.Linear(6, 3)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            states, _ = self.lstm(self.embedding(tokens))
            attended, _ = self.attention(states, states, states)
            out: torch.Tensor = self.linear(attended)
            return out

    layers = trace(Mixed(), torch.zeros(1, 5, dtype=torch.int64)).layers
    machine = load_hardware(reference)
    assert len(layers) >= 4 and all(machine.latency(layer) > 0 and machine.energy(layer) > 0 for layer in layers)
    bits = {"linear": Bits(4, 4)}
    for total, one in ((latency, machine.latency), (energy, machine.energy)):
        assert total(machine, layers, bits) == pytest.approx(sum(one(x, bits.get(x.name, Bits())) for x in layers))
        assert total(machine, layers, bits) < total(machine, layers, {})


def written(folder: Path, text: str) -> str:
    path = folder / "board.yaml"
    path.write_text(text)
    return str(path)


BOARD = "name: board\npeak_macs_per_second: {32: 2e9, 8: 8e9}\nbytes_per_second: 1e9\n"


def test_a_roofline_is_the_slower_of_its_two_roofs(tmp_path: Path) -> None:
    machine = load_hardware(written(tmp_path, BOARD + "joules_per_mac: 1e-12\njoules_per_byte: 2e-12\n"))
    assert machine == Roofline("board", {32: 2e9, 8: 8e9}, 1e9, {32: 1e-12}, 2e-12)
    wide, thin = pointwise(), depthwise()
    assert machine.latency(wide) == wide.macs / 2e9
    assert machine.latency(wide, Bits(3, 8)) == wide.macs / 8e9
    assert machine.latency(wide, Bits(8, 32)) == wide.macs / 2e9
    assert machine.latency(thin) == (thin.weights + 2 * 96 * 64) * 4 / 1e9
    assert machine.energy(thin) == pytest.approx(thin.macs * 1e-12 + (thin.weights + 2 * 96 * 64) * 4 * 2e-12)


@pytest.mark.parametrize(
    ("text", "said", "remedy"),
    [
        (BOARD + "joule_per_mac: 1e-12\n", "board.yaml:4: unknown key 'joule_per_mac'", "'joules_per_mac'"),
        (BOARD.replace("8: 8e9", "8: fast"), "board.yaml:2: peak_macs_per_second: 'fast' is no number", "write it as"),
        (BOARD.replace("8: 8e9", "eight: 8e9"), "'eight' is no width in bits", "1 to 32"),
        (BOARD.replace("1e9", "-1"), "board.yaml:3: bytes_per_second: -1 is not above zero", "positive"),
        ("name: board\nbytes_per_second: 1\n", "'peak_macs_per_second' is missing", "add `peak_macs_per_second:`"),
        (BOARD + "joules_per_byte: 1\n", "board.yaml:4: joules_per_byte is given without", "add joules_per_mac"),
    ],
)
def test_a_fault_in_the_file_is_named_with_its_line(tmp_path: Path, text: str, said: str, remedy: str) -> None:
    with pytest.raises(InputError) as caught:
        load_hardware(written(tmp_path, text))
    assert said in str(caught.value) and remedy in str(caught.value.remedy)


def test_unknown_machines_and_energies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no machine 'egde'") as caught:
        load_hardware("egde")
    assert "'edge'" in str(caught.value.remedy) and "YAML" in str(caught.value.remedy)
    with pytest.raises(InputError, match="energies are not given"):
        load_hardware(written(tmp_path, BOARD)).energy(pointwise())
    with pytest.raises(InputError, match="cannot be read"):
        load_hardware(str(tmp_path / "none.yaml"))
