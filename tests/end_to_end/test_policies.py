"""``train``, then ``size --policy``; and runs that begin from earlier ones: from the command line, by real ngspice."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from automl_core.record import Record
from tests.end_to_end.command_line import sizewise, write

DECK = """resistive load amplifier
.param w=10u r=10k
vdd vdd 0 1.8
vin in 0 dc 0.6 ac 1
m1 out in 0 0 nch w={w} l=0.5u
r1 vdd out {r}
cl out 0 1p
.model nch nmos level=1 vto=0.45 kp=250u lambda=0.1
.end
"""
SPEC = """netlist: amp.cir
variables:
  w: {min: 1u, max: 100u, scale: log}
  r: {min: 1k, max: 100k, scale: log}
analyses: {op: "op", ac: "ac dec 10 1k 10G"}
measures:
  gain: {in: ac, kind: dc_gain, node: out}
  bandwidth: {in: ac, kind: bandwidth, node: out}
specs:
  gain: {min: GAIN, unit: dB}
  bandwidth: {min: BAND, unit: Hz}
"""
RANGES = """gain: {min: [3, 9]}
bandwidth: {min: [10Meg, 40Meg], scale: log}
"""


def files(gain: str = "6", band: str = "20Meg") -> dict[str, str]:
    spec = SPEC.replace("GAIN", gain).replace("BAND", band)
    return {"amp.cir": DECK, "amp.yaml": spec, "ranges.yaml": RANGES}


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy trained on sixty evaluations."""
    folder = tmp_path_factory.mktemp("training")
    write(folder, files())
    ran = sizewise(folder, "train", "amp.yaml", "--targets", "ranges.yaml", "-o", "policy", "--budget", 60)
    assert ran.status == 0 and "policy policy" in ran.out, ran
    assert {"policy.json", "policy.safetensors", "study.sqlite"} <= {
        path.name for path in (folder / "policy").iterdir()
    }
    with Record.open(folder / "policy/study.sqlite") as record:
        assert len(record) == 60
    return folder / "policy"


def test_a_trained_policy_meets_an_unseen_target_in_a_handful_of_simulations(tmp_path: Path, policy: Path) -> None:
    write(tmp_path, files("8", "33Meg"))
    ran = sizewise(tmp_path, "size", "amp.yaml", "--policy", policy, "-o", "run", "--budget", 30)
    assert ran.status == 0 and "knows every kind" in ran.out, ran
    best = json.loads((tmp_path / "run/best.json").read_text())
    assert best["met"] and best["optimizer"] == "seq2seq" and best["evaluations"] <= 12
    assert best["sign_off"]["worst_relative_difference"] < 1e-3


def test_an_earlier_run_is_scored_by_the_new_specs_and_not_simulated_again(tmp_path: Path, policy: Path) -> None:
    write(tmp_path, files("7", "30Meg"))
    ran = sizewise(tmp_path, "size", "amp.yaml", "--from", policy, "-o", "run", "--optimizer", "cmaes")
    assert ran.status == 0, ran
    assert json.loads((tmp_path / "run/best.json").read_text())["evaluations"] <= 2, "the start, and the best of before"
    shutil.copytree(tmp_path / "run", tmp_path / "again")
    resumed = sizewise(tmp_path, "resume", "again")
    assert resumed.status == 0, resumed


def test_a_run_of_another_circuit_is_refused(tmp_path: Path, policy: Path) -> None:
    write(tmp_path, files() | {"amp.cir": DECK.replace("cl out 0 1p", "cl out 0 2p")})
    ran = sizewise(tmp_path, "size", "amp.yaml", "--from", policy, "-o", "run")
    assert ran.status == 2 and "of another circuit" in ran.err and "--policy" in ran.err, ran
    assert not (tmp_path / "run").exists()
    taught = sizewise(tmp_path, "size", "amp.yaml", "--policy", policy, "-o", "run", "--budget", 60)
    assert taught.status == 0, taught  # what was learnt carries over; what was simulated does not


@pytest.mark.parametrize(
    ("ranges", "said"),
    [
        ("gian: {min: [3, 9]}\n", "'gian'"),
        ("gain: {min: [9, 3]}\n", "low <= high"),
        ("gain: {min: [0, 9], scale: log}\n", "log scale needs low > 0"),
        ("gain: {mim: [3, 9]}\n", "unknown key 'mim'"),
        ("gain: {min: [3, 6, 9]}\n", "the least and the greatest"),
        ("gain: {min: [3, high]}\n", "high"),
    ],
)
def test_wrong_ranges_are_named_with_their_line(tmp_path: Path, ranges: str, said: str) -> None:
    write(tmp_path, files() | {"ranges.yaml": ranges})
    ran = sizewise(tmp_path, "train", "amp.yaml", "--targets", "ranges.yaml", "-o", "policy", "--budget", 40)
    assert ran.status == 2 and said in ran.err and "ranges.yaml:1" in ran.err, ran
    assert not (tmp_path / "policy").exists()


def test_an_optimizer_without_a_policy_and_a_folder_without_one_are_refused(tmp_path: Path, policy: Path) -> None:
    write(tmp_path, files())
    ran = sizewise(tmp_path, "size", "amp.yaml", "--policy", policy, "--optimizer", "cmaes", "-o", "run")
    assert ran.status == 2 and "begins from no policy" in ran.err and "seq2seq" in ran.err, ran
    none = sizewise(tmp_path, "size", "amp.yaml", "--policy", tmp_path, "-o", "run")
    assert none.status == 2 and "no policy in this folder" in none.err, none
    untaught = sizewise(tmp_path, "train", "amp.yaml", "--targets", "ranges.yaml", "--optimizer", "de", "-o", "p")
    assert untaught.status == 2 and "seq2seq or gcn" in untaught.err, untaught
