"""``sizewise compress`` from outside: stopped, killed and gone on with; refused without a trace."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.end_to_end.command_line import begin, count, end, sizewise, wait_until, write

SMALL = ("--train-epochs", 2, "--optimizer", "random", "--finetune-epochs", 2)

NETWORKS = """
import torch
from torch import nn

class Astray(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3)
        self.head = nn.Linear(10, 10)

    def forward(self, images):
        return self.head(self.stem(images).flatten(1))

def astray():
    return Astray()

class Told(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = good()

    def forward(self, images):
        return {"logits": self.inner(images)}

def told():
    return Told()

def good():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, 10))
"""


@pytest.mark.timeout(400)
def test_stopped_and_killed_it_goes_on_to_its_end(tmp_path: Path) -> None:
    words = ("compress", "-o", "run", "--evaluations", 300, *SMALL)
    process = begin(tmp_path, *words)
    wait_until(lambda: count(tmp_path / "run") > 16 or process.poll() is not None, "trials in the record")
    process.send_signal(signal.SIGINT)
    stopped = end(process)
    assert stopped.status == 130
    assert "`sizewise resume run` goes on from here" in stopped.err
    before = count(tmp_path / "run")
    assert 16 < before < 300

    process = begin(tmp_path, "resume", "run", "--jobs", 1)
    wait_until(lambda: count(tmp_path / "run") > before + 16 or process.poll() is not None, "more trials")
    process.kill()
    process.communicate()
    assert not (tmp_path / "run/result.json").exists()

    done = sizewise(tmp_path, "resume", "run", "--json", "--jobs", 1)
    assert done.status == 0, done
    result = json.loads(done.out)
    assert result["met"] and result["after"]["macs"] <= result["before"]["macs"] // 2
    assert result["searches"][0]["evaluations"] == count(tmp_path / "run") > before + 16
    assert {layer["name"] for layer in result["layers"]} == {"conv1", "conv2", "conv3", "linear"}
    for name in ("model.onnx", "model.swnn", "model.json", "model.safetensors", "kept.svg", "study.sqlite"):
        assert (tmp_path / "run" / name).stat().st_size > 0
    assert not list((tmp_path / "temporary").glob("sizewise-*"))

    again = sizewise(tmp_path, "resume", "run")
    assert again.status == 0 and "this run is finished; its result, as it was written" in again.out, again
    assert f"budget met: {result['after']['macs']:,} MACs" in again.out


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    write(tmp_path, {"mine.py": NETWORKS})
    run = sizewise(tmp_path, "compress", "mine:good", "--data", "digits", "--dry-run", "--json")
    assert run.status == 0, run
    found = json.loads(run.out)
    assert [layer["macs"] for layer in found["layers"]] == [64 * 16, 160]
    assert [group["channels"] for group in found["groups"]] == [16]
    assert found["whole"] == [found["layers"][1]["name"]], "its channels are the network's outputs"
    least = next(each for each in found["reachable"] if (each["method"], each["metric"]) == ("channels", "macs"))
    assert least["base"] == 64 * 16 + 160 and least["least"] == 4 * (64 + 10)  # a fifth of 16 channels, rounded up
    assert not (tmp_path / "runs").exists()
    shown = sizewise(tmp_path, "compress", "--dry-run", "--keep", "conv2")
    said = " ".join(shown.out.split())
    assert "layers that make all their channels (--keep): 'conv2'" in said
    assert "(outputs of the network, or needed at their number): 'linear'" in said


def test_a_dry_run_refuses_outputs_that_the_run_would_refuse(tmp_path: Path) -> None:
    write(tmp_path, {"mine.py": NETWORKS})
    run = sizewise(tmp_path, "compress", "mine:told", "--data", "digits", "--dry-run")
    assert run.status == 2 and "outputs are of type dict" in run.err and "layers" not in run.out, run


def test_a_dry_run_for_a_latency_shows_the_least_that_the_run_itself_accepts(tmp_path: Path) -> None:
    words = ("compress", "--table", "table.json", "--train-epochs", 1, "--lr", 0.05, "--budget")
    run = sizewise(tmp_path, *words, "latency=0.6", "--dry-run", "--json")
    assert run.status == 0, run
    found = json.loads(run.out)["reachable"]
    least = {(each["method"], each["modelled"]): each for each in found if each["metric"] == "latency"}
    assert set(least) == {("channels", False), ("bits", True)}
    channels = least["channels", False]
    assert 0 < channels["least"] <= channels["base"] < 1e-3
    refused = sizewise(
        tmp_path, *words, f"latency={channels['share'] / 2:.4f}"
    )  # the table is there: nothing is timed anew
    assert refused.status == 2 and f"can be brought to {channels['least']:.4g}" in refused.err, refused
    plain = sizewise(tmp_path, "compress", "--dry-run", "--json")
    assert ("channels", "latency") not in {(e["method"], e["metric"]) for e in json.loads(plain.out)["reachable"]}


@pytest.mark.parametrize(
    ("words", "problem", "remedy"),
    [
        (("mine:astray", "--data", "digits", "--train-epochs", 1), "module 'head' (Linear)", "example input"),
        (("mine:good", "--data", "digits"), "the network is untrained", "--train-epochs 20"),
        (("--lr", "1e30"), "the loss is ", "--lr"),
    ],
)
def test_what_cannot_be_done_leaves_nothing_behind(
    tmp_path: Path, words: tuple[object, ...], problem: str, remedy: str
) -> None:
    write(tmp_path, {"mine.py": NETWORKS})
    run = sizewise(tmp_path, "compress", *words)
    assert run.status == 2, run
    first, _, rest = run.err.partition("\n")
    assert first.startswith("error: ") and problem in first
    assert remedy in rest
    assert not list((tmp_path / "runs").glob("*"))


def test_a_pair_that_there_is_not_names_those_that_there_are(tmp_path: Path) -> None:
    run = sizewise(tmp_path, "compress", "--method", "sparsity", "--budget", "macs=0.5")
    assert run.status == 2
    assert "--method sparsity takes --budget bytes=..." in run.err
    assert "--budget macs=... goes with --method channels" in run.err
