"""The policy that a compression begins from: found in a run's folder, refused before any work."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from automl_core.budget import Budget
from automl_core.errors import InputError
from automl_core.optimizers import Transferable, make
from automl_core.toys import Rosenbrock
from nn_compression.run.settings import Settings


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run whose agent left a policy of its channels."""
    folder = tmp_path_factory.mktemp("run")
    toy = Rosenbrock()
    agent = make("seq2seq", toy.space, toy.specs, 0, Budget(20))
    assert isinstance(agent, Transferable)
    (folder / "channels/policy").mkdir(parents=True)
    agent.save(folder / "channels/policy")
    (folder / "study.sqlite").touch()
    return folder


def settled(policy: Path, **others: object) -> Settings:
    asked = replace(Settings(model="digits_net", policy=str(policy)), **others)  # type: ignore[arg-type]
    found = asked.settled()
    found.check()
    return found


@pytest.mark.parametrize("part", ["", "channels", "channels/policy"])
def test_the_policy_of_the_method_is_found_in_a_runs_folder(run: Path, part: str) -> None:
    found = settled(run / part)
    assert found.policy == str(run / "channels/policy") and found.optimizer == "seq2seq"
    assert found.settled() == found
    assert settled(run / part, optimizer="seq2seq-no-model").optimizer == "seq2seq-no-model"


def test_a_run_without_the_one_that_fits_names_those_that_it_holds(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no policy of bits") as caught:
        settled(run, method="bits")
    assert str(run / "channels/policy") in (caught.value.remedy or "")
    shutil.copytree(run / "channels", tmp_path / "channels")
    shutil.copytree(run / "channels", tmp_path / "bits")
    assert settled(tmp_path, method="bits").policy == str(tmp_path / "bits/policy")
    with pytest.raises(InputError, match="holds several policies") as caught:
        settled(tmp_path, method="all")
    assert {str(tmp_path / name / "policy") in (caught.value.remedy or "") for name in ("bits", "channels")} == {True}


@pytest.mark.parametrize("optimizer", ["cmaes", "gcn"])
def test_an_optimizer_that_does_not_begin_from_it_is_told_the_one_that_does(run: Path, optimizer: str) -> None:
    with pytest.raises(InputError, match=f"{optimizer} does not begin from a policy of seq2seq") as caught:
        settled(run, optimizer=optimizer)
    assert "ask for seq2seq" in (caught.value.remedy or "")


def test_a_folder_without_a_policy_says_what_leaves_one(run: Path, tmp_path: Path) -> None:
    for folder, problem in ((tmp_path, "no policy in this folder"), (tmp_path / "gone", "no such folder")):
        with pytest.raises(InputError, match=problem) as caught:
            settled(folder)
        assert str(folder) in (caught.value.place or "") and "sizewise compress" in (caught.value.remedy or "")


def test_damaged_weights_are_told_before_any_work(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    weights = tmp_path / "run/channels/policy/policy.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(InputError, match="cannot be read"):
        settled(tmp_path / "run")
