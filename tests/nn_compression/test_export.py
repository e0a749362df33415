"""ONNX files: their outputs are torch's, whatever the batch; int8 only where it pays."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from automl_core.errors import InputError
from automl_core.one_thread import one_thread
from nn_compression import int8
from nn_compression.data import Data, Split, settled
from nn_compression.export import export_onnx
from nn_compression.int8 import InFile, quantize_onnx
from nn_compression.latency.whole import measure, measure_file
from nn_compression.quantization.linear import Bits, quantizable, quantize
from nn_compression.run.deliverables import export, try_int8
from nn_compression.tasks import Task
from nn_compression.zoo import digits_net


@pytest.fixture(autouse=True)
def one_torch_thread() -> Iterator[None]:
    with one_thread():
        yield


class Recurrent(nn.Module):
    """An embedding, an LSTM of two layers and a GRU both ways."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(12, 5)
        self.lstm = nn.LSTM(5, 6, num_layers=2, batch_first=True, dropout=0.3)
        self.gru, self.head = nn.GRU(6, 4, bidirectional=True, batch_first=True), nn.Linear(8, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.head(self.gru(self.lstm(self.embedding(tokens))[0])[0])
        return out


MODELS = {
    "convolutions": (digits_net, torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0))),
    "recurrent": (Recurrent, torch.tensor([[3, 1, 4, 1, 5, 9, 2]])),
    "transformer": (lambda: nn.TransformerEncoderLayer(16, 4, 24, batch_first=True), torch.ones(1, 6, 16)),
}


def in_onnx(path: Path, *inputs: Tensor) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [given.name for given in session.get_inputs()]
    outputs: list[np.ndarray] = session.run(None, {n: x.numpy() for n, x in zip(names, inputs, strict=True)})
    return outputs


@pytest.mark.parametrize("name", list(MODELS))
def test_the_file_gives_torchs_outputs_for_any_batch(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    torch.manual_seed(0)
    make, example = MODELS[name]
    model = make().train()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exported = export_onnx(model, example, tmp_path / "model.onnx")
    assert model.training and exported.any_batch and exported.difference <= 1e-4
    assert exported.size == exported.path.stat().st_size
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]
    several = torch.cat([example, example.flip(1), example.roll(1, 1), example, example])
    with torch.no_grad():
        expected = model.eval()(several).numpy()
    np.testing.assert_allclose(in_onnx(exported.path, several)[0], expected, atol=1e-4)
    written = capfd.readouterr()
    assert written.out == "" and written.err == "" and not [r for r in caplog.records if r.levelname == "WARNING"]


def test_a_quantized_network_rounds_in_the_file_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    images = torch.rand(8, 1, 8, 8)
    model = digits_net()
    quantized = quantize(model, {name: Bits(4, 4) for name in quantizable(model)}, images).eval()
    exported = export_onnx(quantized, images[:1], tmp_path / "model.onnx")
    assert "Round" in {node.op_type for node in onnx.load(exported.path).graph.node}
    with torch.no_grad():
        apart = np.abs(in_onnx(exported.path, images)[0] - quantized(images).numpy())
    assert np.median(apart) < 1e-4


class _Wrong(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values + (0.0 if torch.compiler.is_exporting() else 0.01)


class _ByValue(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values if float(values.sum()) > 0 else -values


@pytest.mark.parametrize(
    ("model", "said"), [(_Wrong(), "differ from torch's by 0.0"), (_ByValue(), "the model cannot be exported")]
)
def test_what_cannot_be_exported_leaves_nothing(model: nn.Module, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        export_onnx(model, torch.ones(1, 3), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


class _Unknown(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return torch.special.bessel_j0(values)


def test_why_a_model_cannot_be_exported_is_one_clean_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="depends on the values of tensors") as caught:
        export_onnx(_ByValue(), torch.ones(1, 3), tmp_path / "model.onnx")
    assert caught.value.place == f"{__file__}:{_ByValue.forward.__code__.co_firstlineno + 1}"
    with pytest.raises(InputError, match=r"No ONNX function found for .*bessel_j0") as unknown:
        export_onnx(_Unknown(), torch.ones(1, 3), tmp_path / "model.onnx")
    for error in (caught.value, unknown.value):
        assert error.problem.isprintable(), "neither a line's end nor an escape code"


def test_a_network_that_wants_its_batch_is_exported_for_that(tmp_path: Path) -> None:
    class Fixed(nn.Module):
        def forward(self, values: Tensor) -> Tensor:
            return values.reshape(2, 6) * 2

    exported = export_onnx(Fixed(), torch.ones(2, 3, 2), tmp_path / "model.onnx")
    assert not exported.any_batch and in_onnx(exported.path, torch.ones(2, 3, 2))[0].shape == (2, 6)


class _Looped(nn.Module):
    """Example by example, so that the number of examples is in the graph."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 3)

    def forward(self, values: Tensor) -> Tensor:
        return torch.stack([self.linear(row) for row in values])


def test_a_file_for_one_example_is_told_and_tried_in_int8_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, inputs = _Looped().eval(), torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
    path, notes = export(model, inputs[:1], tmp_path / "model.onnx")
    assert path is not None and "model.onnx for 1 example at a time" in notes[0]
    with torch.no_grad():
        split = Split(inputs, model(inputs).argmax(-1))
    timed(monkeypatch, 2e-3, 1e-3)
    said = try_int8(tmp_path, model, settled(Data(split, split, split, inputs[:1], "classification"), 0), 20.0)
    assert "against 100 %: kept" in said, said


def test_outputs_that_are_masked_are_compared_where_they_are_numbers(tmp_path: Path) -> None:
    class Masked(nn.Linear):
        def forward(self, values: Tensor) -> Tensor:
            mask = torch.tensor([True, False, False])
            wrong = torch.tensor(float("-inf") if self.right or not torch.compiler.is_exporting() else float("inf"))
            return super().forward(values).masked_fill(mask, wrong)

    model, inputs = Masked(4, 3), torch.ones(1, 4)
    model.right = True  # type: ignore[assignment]
    exported = export_onnx(model, inputs, tmp_path / "model.onnx")
    assert exported.difference <= 1e-4 and in_onnx(exported.path, inputs)[0][0, 0] == -np.inf
    model.right = False  # type: ignore[assignment]
    with pytest.raises(InputError, match="differ from torch's by inf"):
        export_onnx(model, inputs, tmp_path / "model.onnx")


def test_what_onnx_runtime_does_not_take_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"the file cannot be run: .*Gemm") as caught:
        export_onnx(nn.Linear(4, 3).bfloat16(), torch.ones(1, 4).bfloat16(), tmp_path / "model.onnx")
    assert "model.float()" in str(caught.value.remedy)
    with pytest.raises(InputError, match="is a single number"):
        export_onnx(nn.Identity(), torch.tensor(2.0), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def exported_digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module, Tensor]:
    torch.manual_seed(0)
    model, images = digits_net().eval(), torch.rand(64, 1, 8, 8)
    path = tmp_path_factory.mktemp("digits") / "model.onnx"
    export_onnx(model, images[:1], path)
    return path, model, images


def timed(monkeypatch: pytest.MonkeyPatch, floats: float, integers: float) -> None:
    """Measured times that are known."""
    plain = measure_file

    def known(path: Path, *given: object, **named: object) -> object:
        found = plain(path, *given, **named)  # type: ignore[arg-type]
        seconds = integers if path.name == "int8.onnx" else floats
        return type(found)((seconds,), found.repeats, found.engine)

    monkeypatch.setattr(int8, "measure_file", known)


@pytest.mark.parametrize(
    ("floats", "integers", "worth", "kept", "said"),
    [
        (2e-3, 1e-3, 0.0, True, "2.00 times as fast (1 ms against 2 ms in floats)"),
        (2e-3, 1e-3, 5.0, False, "2.00 times as fast (1 ms against 2 ms in floats), but too inaccurate"),
        (1e-3, 1e-3, 0.0, False, "no faster here (1 ms against 1 ms in floats), so not kept"),
    ],
)
def test_int8_is_kept_where_it_is_faster_and_as_good(
    floats: float,
    integers: float,
    worth: float,
    kept: bool,
    said: str,
    exported_digits: tuple[Path, nn.Module, Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path, model, images = exported_digits
    timed(monkeypatch, floats, integers)
    with torch.no_grad():
        labels = model(images)
    scores: list[float] = []

    def score(network: InFile) -> float:
        """How near the outputs are to the model's; the second file is marked down."""
        scores.append(100.0 - 100.0 * float((network(images) - labels).abs().max()) - worth * len(scores))
        return scores[-1]

    result = quantize_onnx(path, tmp_path / "int8.onnx", images, labels, score, largest_drop=2.0)
    assert said in result.sentence and result.kept == kept == (tmp_path / "int8.onnx").exists()
    assert scores[0] > 99.9 and scores[1] > 98.0 - worth  # the int8 network computes nearly the same
    if kept:
        kinds = {node.op_type for node in onnx.load(tmp_path / "int8.onnx").graph.node}
        assert "QuantizeLinear" in kinds and "DequantizeLinear" in kinds
        assert float((InFile(tmp_path / "int8.onnx", labels)(images) - labels).abs().max()) < 0.02
        assert (tmp_path / "int8.onnx").stat().st_size < path.stat().st_size


def test_a_file_that_cannot_be_quantized_says_so(tmp_path: Path) -> None:
    given = torch.ones(2, 3)
    with pytest.raises(InputError, match="no such file"):
        quantize_onnx(tmp_path / "none.onnx", tmp_path / "int8.onnx", given, given, lambda network: 0.0)
    (tmp_path / "broken.onnx").write_bytes(b"broken")
    result = quantize_onnx(tmp_path / "broken.onnx", tmp_path / "int8.onnx", given, given, lambda network: 0.0)
    assert not result.kept and "not possible" in result.sentence and not (tmp_path / "int8.onnx").exists()


class _Several(nn.Module):
    """A hidden layer's values, nothing, and the logits, which are the last."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.hidden, self.head = nn.Linear(64, 10), nn.Linear(10, 10)

    def forward(self, images: Tensor) -> dict[str, Tensor | None]:
        hidden = self.hidden(images.flatten(1))
        return {"hidden": hidden, "nothing": None, "logits": self.head(-hidden)}


def accuracy(logits: Tensor, targets: Tensor) -> Tensor:
    return (logits.argmax(-1) == targets).double().mean() * 100


OF_SEVERAL = {
    "by the metric": Task("own", lambda o, t: o["logits"].sum(), lambda o, t: accuracy(o["logits"], t)),
    "by the forward": Task(
        "own", lambda o, t: o.sum(), accuracy, forward=lambda model, images: model(images=images / 16)["logits"]
    ),
}


@pytest.mark.parametrize("name", list(OF_SEVERAL))
def test_int8_is_judged_by_the_task_as_the_network_is(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, images = _Several().eval(), 16 * torch.randn(300, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        split = Split(images, model(images / 16 if "forward" in name else images)["logits"].argmax(-1))
    data = settled(Data(split, split, split, images[:1], OF_SEVERAL[name]), 0)
    export_onnx(model, images[:1], tmp_path / "model.onnx")
    timed(monkeypatch, 2e-3, 1e-3)
    said = try_int8(tmp_path, model, data, 20.0)
    assert "2.00 times as fast" in said and "against 100 %: kept" in said, said
    given = images / 16 if "forward" in name else images
    logits = torch.from_numpy(in_onnx(tmp_path / "model.int8.onnx", given)[-1])
    integers = float(accuracy(logits, split.targets))
    assert integers > 80 and f"{integers:.4g} %" in said


def test_a_metric_that_fails_on_an_onnx_file_costs_the_int8_file_alone(tmp_path: Path) -> None:
    def metric(outputs: Tensor, targets: Tensor) -> Tensor:
        raise KeyError("no luck")

    model, images = nn.Linear(4, 3).eval(), torch.rand(40, 4)
    split = Split(images, torch.zeros(40, dtype=torch.int64))
    data = settled(Data(split, split, split, images[:1], Task("own", lambda o, t: o.sum(), metric)), 0)
    export_onnx(model, images[:1], tmp_path / "model.onnx")
    said = try_int8(tmp_path, model, data, 0.5)
    assert "not possible" in said and "no luck" in said and not (tmp_path / "model.int8.onnx").exists()


def test_a_file_takes_the_time_of_its_network(exported_digits: tuple[Path, nn.Module, Tensor]) -> None:
    path, model, images = exported_digits
    from_file = measure_file(path, images[:1], budget=0.02)
    assert len(from_file.rounds) == 3 and from_file.engine == "onnxruntime" and from_file.repeats >= 45
    assert measure(model, images[:1], "eager", budget=0.02).seconds > from_file.seconds
    large = measure_file(path, images, budget=0.02).seconds
    assert large > 3 * from_file.seconds
