import sys
from itertools import count
from pathlib import Path

import pytest
import torch

from automl_core.errors import InputError
from nn_compression.files.references import load_data, load_model
from nn_compression.zoo import ZOO

NUMBERS = count()

DATA = """
import torch
from nn_compression.data import Data, Split

def data():
    split = Split(torch.arange(20.0).view(20, 1), torch.arange(20) % 2)
    return Data(split, None, split, torch.zeros(1, 1), "classification")
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    return tmp_path


def write(folder: Path, text: str, name: str = "") -> str:
    """A module of its own name in a folder; returns the name."""
    name = name or f"module_of_a_user_{next(NUMBERS)}"
    (folder / f"{name}.py").write_text(text)
    return name


def test_a_module_of_the_current_folder_gives_the_network(here: Path) -> None:
    name = write(here, "from torch import nn\ndef net():\n    return nn.Linear(2, 3)\n")
    first, second = (load_model(f"{name}:net", seed=seed) for seed in (1, 1))
    assert first is not second and first.weight.equal(second.weight)
    assert not first.weight.equal(load_model(f"{name}:net", seed=2).weight)


def test_a_network_whose_extra_state_is_no_tensor_is_refused_before_any_training(here: Path) -> None:
    code = """
from torch import nn

class Versioned(nn.Linear):
    def get_extra_state(self): return {"version": 1}
    def set_extra_state(self, state): pass

def net(): return nn.Sequential(Versioned(4, 3))
def lazy(): return nn.LazyLinear(3)
"""
    name = write(here, code)
    with pytest.raises(InputError, match="a dict cannot be coded") as caught:
        load_model(f"{name}:net")
    assert caught.value.place == "state dict, 0._extra_state" and "register_buffer" in str(caught.value.remedy)
    with pytest.raises(InputError, match="no shape yet"):
        load_model(f"{name}:lazy")


def test_a_class_is_as_good_as_a_function_and_folders_are_dotted(here: Path) -> None:
    (here / "folder_of_a_user").mkdir()
    write(here / "folder_of_a_user", "from torch import nn\nclass Net(nn.Linear):\n    def __init__(self):\n"
          "        super().__init__(4, 5)\n", "models")  # fmt: skip
    assert load_model("folder_of_a_user.models:Net").weight.shape == (5, 4)


def test_data_of_a_user_are_settled_and_kept(here: Path) -> None:
    reference = f"{write(here, DATA)}:data"
    data = load_data(reference, 3)
    assert (len(data.train), len(data.validation), data.classes, data.label) == (18, 2, 2, reference)
    assert load_data(reference, 3) is data and load_data(reference, 4) is not data


def test_a_text_file_is_data_for_a_language_model(here: Path) -> None:
    (here / "my.txt").write_text("to be or not to be " * 400)
    data = load_data("my.txt", 0)
    model = load_model("lstm_language_model", example_input=data.example_input, classes=data.classes)
    assert model(data.example_input).shape == (1, 192, 7)


def test_the_zoo_is_built_for_the_data() -> None:
    colour = torch.zeros(1, 3, 20, 20)
    for reference in ("lenet5", "lenet_300_100", "resnet20", "mobilenet_v1_x0.25", "mobilenet_v2", "digits_net"):
        assert load_model(reference, example_input=colour, classes=7).eval()(colour).shape == (1, 7)


def test_the_width_is_part_of_the_name() -> None:
    whole, half = (load_model(name).linear.in_features for name in ("mobilenet_v1", "mobilenet_v1_x0.5"))
    assert half * 2 == whole == 1024


def test_loading_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    load_model("digits_net", seed=5)
    assert torch.get_rng_state().equal(state)


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("resnet2O", "'resnet20'"),
        ("resnet20_x0.5", "'resnet20'"),
        ("mobilenet_v1_x0", "'mobilenet_v1'"),
        ("vgg", "module:function"),
    ],
)
def test_an_unknown_network_names_the_nearest(reference: str, said: str) -> None:
    with pytest.raises(InputError, match="there is no network") as caught:
        load_model(reference)
    assert said in str(caught.value.remedy)


def test_an_unknown_data_set_names_the_nearest() -> None:
    with pytest.raises(InputError, match="'cifar-10'") as caught:
        load_data("cifar-10", 0)
    assert "'cifar10'" in str(caught.value.remedy) and "module:function" in str(caught.value.remedy)


def test_a_network_that_does_not_take_the_data_is_told() -> None:
    with pytest.raises(InputError, match=r"resnet20 does not take inputs of shape \(192,\)"):
        load_model("resnet20", example_input=torch.zeros(1, 192, dtype=torch.int64))
    with pytest.raises(InputError, match="16x16 or more"):
        load_model("lenet5", example_input=torch.zeros(1, 1, 8, 8))


@pytest.mark.parametrize(
    ("text", "function", "line", "problem", "remedy"),
    [
        ("", "net", None, "has no 'net'", "nothing of the kind"),
        ("def network(): ...", "netwrk", None, "has no 'netwrk'", "'network'"),
        ("net = 3", "net", None, "is a int, no function", "takes no arguments"),
        ("def net():\n    return 3", "net", None, "returns a int", "torch.nn.Module"),
        ("def net(width):\n    return width", "net", None, "TypeError: net.. missing 1", "without arguments"),
        ("def net():\n    x = {}\n    return x['a']", "net", 3, "KeyError: 'a'", "correct it"),
        ("from torch import nn\ndef net():\n    return nn.Linear(2, 'a')", "net", 3, "TypeError", "correct it"),
        ("def net():\n    raise SystemExit('no card')", "net", 2, "SystemExit: no card", "correct it"),
        ("1 / 0", "net", 1, "ZeroDivisionError", "importing"),
        ("\nimport no_such_package", "net", 2, "No module named 'no_such_package'", "importing"),
        ("def net(:\n", "net", 1, "SyntaxError", "correct it"),
    ],
)
def test_a_fault_of_the_users_code_is_told_with_its_line(
    here: Path, text: str, function: str, line: int | None, problem: str, remedy: str
) -> None:
    name = write(here, text)
    with pytest.raises(InputError, match=problem) as caught:
        load_model(f"{name}:{function}")
    assert caught.value.place == (f"{here / name}.py:{line}" if line else f"{name}:{function}")
    assert remedy in str(caught.value.remedy)


def test_data_of_another_type_and_faults_in_a_dataset_are_told(here: Path) -> None:
    dataset = DATA + "class Broken:\n    def __len__(self): return 3\n    def __getitem__(self, index): return 1 / 0\n"
    dataset += "def broken():\n    return Data(Broken(), None, Broken(), torch.zeros(1, 1), 'classification')\n"
    name = write(here, dataset + "def three(): return 3")
    with pytest.raises(InputError, match="returns a int, no Data"):
        load_data(f"{name}:three", 0)
    with pytest.raises(InputError, match="ZeroDivisionError") as caught:
        load_data(f"{name}:broken", 0)
    assert caught.value.place == f"{here / name}.py:10"


@pytest.mark.parametrize("reference", ["model.py:net", "dir/model:net", "a:b:c", ":net", "model:", "model:net()"])
def test_what_is_no_module_and_function_says_how_to_write_it(reference: str) -> None:
    with pytest.raises(InputError, match="no module:function") as caught:
        load_model(reference)
    assert "without .py" in str(caught.value.remedy)


def test_a_missing_module_names_the_folder_and_the_nearest(here: Path) -> None:
    write(here, "", "my_own_model")
    with pytest.raises(InputError, match="no module 'my_own_modl'") as caught:
        load_model("my_own_modl:net")
    assert "'my_own_model'" in str(caught.value.remedy) and str(here) in str(caught.value.remedy)
    with pytest.raises(InputError, match=r"no module 'my_own_model\.inner'"):
        load_model("my_own_model.inner:net")


def test_every_network_of_the_zoo_has_its_data() -> None:
    assert {entry.data for entry in ZOO.values()} == {"digits", "mnist", "cifar10", "tinyshakespeare"}


def test_a_network_with_a_pruning_hook_is_refused_with_its_layer(here: Path) -> None:
    code = "import torch\nfrom torch import nn\n\ndef net():\n    model = nn.Sequential(nn.ReLU(), nn.Linear(4, 3))\n"
    name = write(
        here, code + "    torch.nn.utils.prune.random_unstructured(model[1], 'weight', 0.5)\n    return model\n"
    )
    with pytest.raises(InputError, match="the weight of the layer '1' is computed by a hook") as caught:
        load_model(f"{name}:net")
    assert caught.value.place == f"{name}:net" and "torch.nn.utils.prune.remove" in str(caught.value.remedy)
