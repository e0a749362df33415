"""Networks in a comparison: from words or a file, trained once, the same in every process."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from safetensors.torch import save_model
from typer.testing import CliRunner

from automl_core.contest import Contest
from automl_core.errors import InputError, RecordError
from automl_core.record import Record
from nn_compression.contest_entry import network_entry
from nn_compression.files.references import load_model
from nn_compression.problem_files import parse_problem, read_problem
from nn_compression.problems.budget import CostLimit
from sizewise.__main__ import app

FILE = """\
network: digits_net
weights: mine.safetensors
budget: macs=0.4
round_to: 4
keep: [conv1]
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A problem file with weights beside it, untrained."""
    save_model(load_model("digits_net", seed=1), str(tmp_path / "mine.safetensors"))
    (tmp_path / "mine.yaml").write_text(FILE)
    return tmp_path / "mine.yaml"


def test_words_name_a_network_of_the_zoo() -> None:
    spec = parse_problem("mobilenet_v1_x0.5:bits:latency=0.6")
    assert (spec.network, spec.data, spec.method) == ("mobilenet_v1_x0.5", "cifar10", "bits")
    assert spec.budget == CostLimit("latency", 0.6) and spec.name == "mobilenet_v1_x0.5-bits-latency0.6"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("digits_net", "NETWORK:METHOD:BUDGET"),
        ("digit_net:channels:macs=0.5", "'digits_net'"),
        ("digits_net:chanels:macs=0.5", "'channels'"),
        ("digits_net:channels:mac=0.5", "'macs'"),
    ],
)
def test_wrong_words_are_answered_with_the_right_ones(words: str, said: str) -> None:
    with pytest.raises(InputError) as refusal:
        parse_problem(words)
    assert said in str(refusal.value)


def test_a_file_names_a_network_of_the_users_own(file: Path) -> None:
    spec = read_problem(file)
    assert spec.weights == file.parent / "mine.safetensors" and spec.data == "digits"
    assert spec.round_to == 4 and spec.keep == ("conv1",) and spec.budget == CostLimit("macs", 0.4)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("budgets: macs=0.5", "mine.yaml:6: unknown key 'budgets'"),
        ("seed: many", "mine.yaml:6: seed"),
        ("method: prune", "mine.yaml:6: nothing is searched by 'prune'"),
    ],
)
def test_a_wrong_line_is_named(file: Path, line: str, said: str) -> None:
    file.write_text(f"{FILE}{line}\n")
    with pytest.raises(InputError) as refusal:
        read_problem(file)
    assert said in str(refusal.value)


def test_a_network_of_ones_own_needs_data_and_weights(file: Path) -> None:
    file.write_text("network: my_model:network\n")
    with pytest.raises(InputError, match="needs its data"):
        read_problem(file)


def test_a_study_of_it_is_kept_and_goes_on(file: Path) -> None:
    folder = file.parent / "run"
    entry = network_entry(str(file))
    entry.keep(folder)
    bout = Contest(pickle.loads(pickle.dumps(entry)), "random", 4, 0, "budget", folder)
    bout.run()
    outcome = bout.outcome()
    assert outcome.evaluations == 4 and outcome.curve.score().feasible
    with Record.open(bout.path) as record:
        assert all(trial.metrics["macs"] <= entry.problem.bound for trial in record.trials())  # type: ignore[attr-defined]
    again = network_entry(str(file), folder)
    assert again.identity == entry.identity and again.evaluation_seconds == entry.evaluation_seconds
    assert Contest(again, "random", 4, 0, "budget", folder).outcome().status == "finished"


@pytest.mark.parametrize("part", ["weights", "settings"])
def test_another_network_is_refused(file: Path, part: str) -> None:
    folder = file.parent / "run"
    network_entry(str(file)).keep(folder)
    if part == "weights":
        save_model(load_model("digits_net", seed=2), str(file.parent / "mine.safetensors"))
    else:
        file.write_text(FILE.replace("round_to: 4", "round_to: 2"))
    with pytest.raises(RecordError, match=f"the {part} of the network has changed"):
        network_entry(str(file), folder)


BOARD = "peak_macs_per_second: {8: 20e9, 4: 80e9}\nbytes_per_second: 40e9\n"


def test_files_that_differ_in_their_hardware_alone_are_two_problems(file: Path) -> None:
    (file.parent / "board.yaml").write_text(BOARD)
    for name in ("edge", "board.yaml"):
        words = f"network: digits_net\nweights: mine.safetensors\nmethod: bits\nbudget: latency=0.6\nhardware: {name}\n"
        (file.parent / f"on_{Path(name).stem}.yaml").write_text(words)
    entries = [network_entry(f"{file.parent}/on_{name}.yaml") for name in ("edge", "board")]  # from another folder
    assert [entry.name for entry in entries] == ["on_edge", "on_board"]
    folder = file.parent / "run"
    entries[1].keep(folder)
    (file.parent / "board.yaml").write_text(f"# a remark\n{BOARD}")
    network_entry(f"{file.parent}/on_board.yaml", folder)
    (file.parent / "board.yaml").write_text(BOARD.replace("20e9", "10e9"))
    with pytest.raises(RecordError, match="the settings of the network has changed"):
        network_entry(f"{file.parent}/on_board.yaml", folder)


def test_networks_and_toys_stand_in_one_comparison(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(file.parent)
    words = ["compare", "mine.yaml", "toy:allocation", "--optimizers", "random", "--seeds", "1", "--budget", "4"]
    ended = CliRunner().invoke(app, [*words, "--jobs", "1", "--json", "-o", "run"])
    assert ended.exit_code == 0, ended.output
    problems = {study["problem"]: study for study in json.loads(ended.stdout)["studies"]}
    assert set(problems) == {"mine", "allocation"}
    assert problems["mine"]["met"] is True


@pytest.mark.parametrize(
    ("line", "named"), [("method: bits\nround_to: 8", "round_to"), ("hardware: cloud", "hardware")]
)
def test_a_key_without_use_is_refused_with_its_line(line: str, named: str, tmp_path: Path) -> None:
    file = tmp_path / "idle.yaml"
    budget = "bytes=0.2" if "bits" in line else "macs=0.5"
    file.write_text(f"network: digits_net\nbudget: {budget}\n{line}\n")
    with pytest.raises(InputError, match=f"no part in .*{named}") as refused:
        read_problem(file)
    assert f"idle.yaml:{len(file.read_text().splitlines())}" in str(refused.value)


def test_a_text_lies_beside_its_problem_file(tmp_path: Path) -> None:
    file = tmp_path / "text.yaml"
    file.write_text("network: lstm_char\ndata: my.txt\nmethod: sparsity\nbudget: bytes=0.2\n")
    assert read_problem(file).data == str(tmp_path / "my.txt")
