import gzip
import os
import struct
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from automl_core.errors import InputError
from nn_compression.data import settled
from nn_compression.datasets import cifar10_data, digits_data, mnist_data, text_data, tinyshakespeare_data
from nn_compression.datasets.cifar10 import label_of
from nn_compression.datasets.mnist import read_idx
from nn_compression.datasets.text import TextSplit
from nn_compression.tasks import IGNORED

DATA = Path(os.environ.get("SIZEWISE_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))


def idx(array: NDArray[np.uint8]) -> bytes:
    """A file in the layout of the MNIST page: two zeros, 8 for bytes, the axes, their lengths, the bytes."""
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of data sets."""
    monkeypatch.setenv("SIZEWISE_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def real(monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the real data sets, where there is one."""
    if not DATA.is_dir():
        pytest.skip(f"no data sets at {DATA}: set SIZEWISE_DATA")
    monkeypatch.setenv("SIZEWISE_DATA", str(DATA))
    return DATA


def write_mnist(folder: Path, train: int = 6000, zipped: bool = True) -> NDArray[np.uint8]:
    """A small MNIST; returns its training images."""
    rng = np.random.default_rng(0)
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    images = rng.integers(0, 256, (train, 28, 28), np.uint8)
    for name, content in {
        "train-images-idx3-ubyte": images,
        "train-labels-idx1-ubyte": rng.integers(0, 10, train, np.uint8),
        "t10k-images-idx3-ubyte": images[:7],
        "t10k-labels-idx1-ubyte": np.arange(7, dtype=np.uint8),
    }.items():
        if zipped:
            (raw / f"{name}.gz").write_bytes(gzip.compress(idx(content), 1))
        else:
            (raw / name).write_bytes(idx(content))
    return images


@pytest.mark.parametrize("zipped", [True, False])
def test_mnist_is_read_gzipped_or_not(folder: Path, zipped: bool) -> None:
    images = write_mnist(folder, zipped=zipped)
    data = mnist_data()
    expected = (images[5] / 255 - 0.1307) / 0.3081
    assert data.train.inputs[5, 0].numpy() == pytest.approx(expected, abs=1e-5)
    assert data.test.targets.tolist() == list(range(7))
    assert len(settled(data, 0).validation) == 5000 and data.example_input.shape == (1, 1, 28, 28)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (gzip.compress(idx(np.zeros((9, 28, 28), np.uint8)), mtime=0)[:-12], "damaged"),
        (idx(np.zeros((9, 28, 28), np.uint8))[:-1], "7,055 bytes where"),
        (b"\0\0\x08\x03\0\0", "damaged"),
        (b"\0\0\x0d\x01" + bytes(40), "no IDX file of bytes"),
        (b"<html>", "no IDX file"),
        (idx(np.zeros(60, np.uint8)), "no MNIST"),
    ],
    ids=["cut gzip", "cut", "head alone", "other type", "a web page", "one axis"],
)
def test_a_damaged_mnist_is_told_with_its_path(folder: Path, content: bytes, problem: str) -> None:
    write_mnist(folder, 60)
    path = folder / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(content)
    with pytest.raises(InputError, match=problem) as caught:
        mnist_data()
    assert caught.value.place == str(path) and "https://" in str(caught.value.remedy)


def test_an_idx_file_of_any_axes_is_read(tmp_path: Path) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "a").write_bytes(idx(array))
    assert (read_idx(tmp_path / "a") == array).all()


@pytest.mark.parametrize(
    ("load", "path"),
    [
        (mnist_data, "MNIST/raw/train-images-idx3-ubyte.gz"),
        (cifar10_data, "cifar-10-batches-bin/data_batch_1.bin"),
        (tinyshakespeare_data, "text/tinyshakespeare.txt"),
    ],
)
def test_missing_data_name_the_path_and_where_to_get_them(folder: Path, load: object, path: str) -> None:
    with pytest.raises(InputError, match="missing") as caught:
        load()
    assert caught.value.place == str(folder / path)
    assert "https://" in str(caught.value.remedy) and "SIZEWISE_DATA" in str(caught.value.remedy)


def write_cifar(folder: Path, batches: int = 2, images: int = 30) -> NDArray[np.uint8]:
    """A small CIFAR-10; returns its training records."""
    rng = np.random.default_rng(1)
    home = folder / "cifar-10-batches-bin"
    home.mkdir()
    records = rng.integers(0, 256, (batches * images, 3073), np.uint8)
    records[:, 0] %= 10
    for number in range(batches):
        part = records[number * images : (number + 1) * images]
        (home / f"data_batch_{number + 1}.bin").write_bytes(part.tobytes())
    (home / "test_batch.bin").write_bytes(records[:5].tobytes())
    return records


@pytest.mark.parametrize("batches", [1, 2, 5])
def test_cifar_is_read_from_as_many_batches_as_there_are(folder: Path, batches: int) -> None:
    records = write_cifar(folder, batches)
    data = cifar10_data()
    last = len(records) - 1
    green = (records[last, 1 + 1024 : 1 + 2048].reshape(32, 32) / 255 - 0.4822) / 0.2435
    assert data.train.inputs[last, 1].numpy() == pytest.approx(green, abs=1e-5)
    assert data.train.targets.tolist() == records[:, 0].tolist()
    assert data.label == f"CIFAR-10 ({30 * batches} of 50,000 images)"


def test_the_label_says_how_much_of_cifar_it_was() -> None:
    assert label_of(50_000) == "CIFAR-10"
    assert label_of(20_000) == "CIFAR-10 (20k, JPEG)"
    assert label_of(10_000) == "CIFAR-10 (10,000 of 50,000 images)"


@pytest.mark.parametrize(
    ("content", "problem"), [(bytes(3000), "3,000 bytes"), (b"", "0 bytes"), (b"\x0b" * 3073, "11")]
)
def test_a_damaged_cifar_is_told_with_its_path(folder: Path, content: bytes, problem: str) -> None:
    write_cifar(folder)
    path = folder / "cifar-10-batches-bin" / "data_batch_2.bin"
    path.write_bytes(content)
    with pytest.raises(InputError, match=problem) as caught:
        cifar10_data()
    assert caught.value.place == str(path)


def a_text(path: Path, length: int) -> tuple[Path, str]:
    """A text of random letters, and accents."""
    letters = np.array(list("abcdé \n"))
    text = "".join(letters[np.random.default_rng(2).integers(0, len(letters), length)])
    path.write_text(text, encoding="utf-8")
    return path, text


@pytest.mark.parametrize("length", [3880, 6000, 6063, 9191])
def test_every_character_is_judged_once_with_a_context_before_it(tmp_path: Path, length: int) -> None:
    path, text = a_text(tmp_path / "a.txt", length)
    data = text_data(path)
    vocabulary = sorted(set(text))
    assert data.classes == len(vocabulary) == 7
    start, end = int(length * 0.9), int(length * (0.9 + 0.05))
    for split, part in ((data.validation, text[start:end]), (data.test, text[end:])):
        seen = []
        assert split is not None
        for inputs, targets in zip(split.inputs, split.targets, strict=True):
            judged = (targets != IGNORED).nonzero().flatten()
            first = int(judged[0]) if len(judged) else 0
            assert not seen or first >= 64
            assert judged.tolist() == list(range(first, len(targets)))
            window = "".join(vocabulary[int(token)] for token in inputs)
            seen += [vocabulary[int(token)] for token in targets[first:]]
            assert part[: len(seen) + 1].endswith(window[1:] + seen[-1])
        assert "".join(seen) == part[1:]


def test_a_shuffled_pass_cuts_the_text_anew(tmp_path: Path) -> None:
    path, text = a_text(tmp_path / "a.txt", 6000)
    train = text_data(path).train
    assert isinstance(train, TextSplit)
    vocabulary = sorted(set(text))

    def windows(seed: int) -> list[str]:
        generator = torch.Generator().manual_seed(seed)
        pairs = [pair for batch in train.batches(7, generator) for pair in zip(*batch, strict=True)]
        assert all(inputs[1:].equal(targets[:-1]) for inputs, targets in pairs)
        return ["".join(vocabulary[int(token)] for token in inputs) for inputs, _ in pairs]

    first, second = windows(0), windows(1)
    assert windows(0) == first
    places = [sorted(text.index(window) for window in each) for each in (first, second)]
    assert {(b - a) for each in places for a, b in pairwise(each)} == {192}
    assert places[0] != places[1]


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"ab" * 9, "too few"), (b"ab" * 1921, "too few"), (b"ab" * 1925, "too few"), (b"\xff\xfe" * 9, "byte 0 is 0xff")],
)
def test_a_text_that_cannot_be_used_is_told(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(InputError, match=problem) as caught:
        text_data(tmp_path / "a.txt")
    assert caught.value.place == str(tmp_path / "a.txt")


def test_a_text_of_ones_own_that_is_missing_is_looked_for_in_no_folder_of_data_sets(folder: Path) -> None:
    with pytest.raises(InputError, match="no such file") as caught:
        text_data(Path("mine.txt"))
    assert caught.value.place == str(Path("mine.txt").absolute()) and "SIZEWISE_DATA" not in str(caught.value.remedy)


def test_digits_need_no_file_and_share_no_image() -> None:
    data = settled(digits_data(), 0)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [1137, 300, 360]
    images = torch.cat([data.train.inputs, data.validation.inputs, data.test.inputs])
    assert len(images.flatten(1).unique(dim=0)) == 1797
    assert data.classes == 10 and abs(float(images.mean())) < 1e-4


def test_the_real_mnist(real: Path) -> None:
    data = mnist_data()
    assert data.train.targets[:5].tolist() == [5, 0, 4, 1, 9]
    assert len(data.train) == 60_000 and len(data.test) == 10_000
    assert abs(float(data.train.inputs.mean())) < 1e-3


def test_the_real_cifar(real: Path) -> None:
    data = settled(cifar10_data(), 0)
    images = len(data.train) + len(data.validation)
    assert data.label == label_of(images)
    counts = torch.cat([data.train.targets, data.validation.targets]).bincount()
    assert counts.tolist() == [images // 10] * 10
    assert data.train.inputs.mean((0, 2, 3)).abs().max() < 0.05


def test_the_real_tinyshakespeare(real: Path) -> None:
    data = tinyshakespeare_data()
    assert data.classes == 65 and data.example_input.dtype == torch.int64 and data.example_input.shape == (1, 192)
