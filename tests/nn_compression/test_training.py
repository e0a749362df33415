import copy
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from automl_core.errors import InputError
from nn_compression.data import Data, SettledData, Split, settled
from nn_compression.files.references import load_data, load_model
from nn_compression.tasks import Task, task_of
from nn_compression.training.evaluation import evaluate
from nn_compression.training.loop import Diverged, Epoch, History, NotFinite, train
from nn_compression.training.schedule import Schedule
from nn_compression.zoo import ZOO


def noisy(images: Tensor, generator: torch.Generator) -> Tensor:
    """An augmentation that draws."""
    return images + 0.1 * torch.randn(images.shape, generator=generator)


def a_net(seed: int = 0) -> nn.Module:
    """A small network in which everything that a checkpoint must hold is there: statistics, dropout, kernels."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(6 * 4, 3)
    )


def some_data(count: int = 90) -> SettledData:
    """Images of three classes, hard to tell apart."""
    generator = torch.Generator().manual_seed(5)
    targets = torch.randint(3, (count,), generator=generator)
    images = torch.randn(count, 1, 4, 4, generator=generator) + 0.5 * targets.view(-1, 1, 1, 1)
    split = Split(images, targets)
    return settled(Data(split, None, split, images[:1], "classification", noisy, held_out=30), 0)


def other_targets() -> SettledData:
    """As many examples, but of other classes."""
    data = some_data()
    return replace(data, train=Split(data.train.inputs, data.train.targets.roll(1)))


def lines(count: int = 64) -> SettledData:
    """A linear problem without noise."""
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(count, 3, generator=generator)
    targets = inputs @ torch.tensor([[1.0], [-2.0], [0.5]])
    task = Task("line", nn.functional.mse_loss, nn.functional.l1_loss, "mm", False)
    split = Split(inputs, targets)
    return settled(Data(split, split, split, inputs[:1], task), 0)


def a_line() -> nn.Linear:
    """A linear network, always the same."""
    torch.manual_seed(0)
    return nn.Linear(3, 1)


class Interrupted(Exception):
    """Stands for a power cut."""


def interrupt_after(epochs: int) -> Callable[[Epoch], None]:
    """A progress that ends the training."""

    def stop(epoch: Epoch) -> None:
        if epoch.number == epochs:
            raise Interrupted

    return stop


def same(first: nn.Module, second: nn.Module) -> bool:
    """Whether two networks are equal to the bit."""
    pairs = zip(first.state_dict().items(), second.state_dict().items(), strict=True)
    return all(a == b and x.equal(y) for (a, x), (b, y) in pairs)


def without_times(history: History) -> History:
    """A history that does not depend on the clock."""
    return History(tuple(replace(epoch, seconds=0.0) for epoch in history.epochs), history.best)


SCHEDULES = [
    Schedule(5, 0.05, batch=16, warmup=1.0, clip_norm=1.0),
    Schedule(5, 0.01, batch=16, optimizer="adam", decay="step"),
    Schedule(6, 0.2, batch=16, keep_best=True),
]


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("stop", [1, 3])
def test_an_interrupted_training_ends_with_the_same_bits(schedule: Schedule, stop: int, tmp_path: Path) -> None:
    data, whole, parts = some_data(), a_net(), a_net()
    expected = train(whole, data, schedule, seed=7)
    path = tmp_path / "training.safetensors"
    with pytest.raises(Interrupted):
        train(parts, data, schedule, seed=7, checkpoint=path, progress=interrupt_after(stop))
    resumed, told = a_net(), list[int]()
    history = train(resumed, data, schedule, seed=7, checkpoint=path, progress=lambda epoch: told.append(epoch.number))
    assert told == list(range(stop + 1, schedule.epochs + 1))
    assert same(resumed, whole)
    assert without_times(history) == without_times(expected)
    again = a_net()
    assert train(again, data, schedule, seed=7, checkpoint=path, progress=interrupt_after(1)) == history
    assert same(again, whole)


def test_the_best_epoch_before_an_interruption_is_kept_though_it_was_the_last(tmp_path: Path) -> None:
    """The metric falls with every look: the first epoch is the best, whatever happens."""

    def falling() -> SettledData:
        looks = iter(range(0, -100, -1))
        task = replace(task_of("classification"), metric=lambda outputs, targets: torch.tensor(float(next(looks))))
        return replace(some_data(), task=task)

    schedule, whole, parts = Schedule(3, 0.05, batch=16, keep_best=True), a_net(), a_net()
    train(whole, falling(), schedule, seed=7)
    path = tmp_path / "training.safetensors"
    with pytest.raises(Interrupted):
        train(parts, falling(), schedule, seed=7, checkpoint=path, progress=interrupt_after(1))
    resumed, later = a_net(), falling()
    later.task.metric(torch.zeros(1), torch.zeros(1))  # the look that the first epoch had
    assert train(resumed, later, schedule, seed=7, checkpoint=path).best == 1
    assert same(resumed, whole)


def test_a_look_at_the_network_between_epochs_changes_no_bit_of_an_interrupted_training(tmp_path: Path) -> None:
    """Kernels of more channels than one lie otherwise in memory while they are trained, and stay so."""
    data, schedule = load_data("digits", 0), Schedule(2, 0.05, batch=256, keep_best=True)
    whole, parts, resumed = (load_model("digits_net") for _ in range(3))
    train(whole, data, schedule, seed=7)
    path = tmp_path / "training.safetensors"
    with pytest.raises(Interrupted):
        train(parts, data, schedule, seed=7, checkpoint=path, progress=interrupt_after(1))
    train(resumed, data, schedule, seed=7, checkpoint=path)
    assert same(resumed, whole)


def test_a_training_killed_within_an_epoch_ends_with_the_same_bits(tmp_path: Path) -> None:
    data, schedule, whole, mask = some_data(), Schedule(3, 0.05, batch=16), a_net(), torch.rand(6, 1, 3, 3) > 0.5
    steps = 0

    def masked(model: nn.Module, end: int) -> Callable[[], None]:
        def after_step() -> None:
            nonlocal steps
            steps += 1
            model[0].weight.data.mul_(mask)
            if steps == end:
                raise Interrupted

        return after_step

    train(whole, data, schedule, seed=1, after_step=masked(whole, -1))
    assert steps == 3 * 4 and not whole[0].weight[~mask].any()
    parts, steps = a_net(), 0
    path = tmp_path / "training.safetensors"
    with pytest.raises(Interrupted):
        train(parts, data, schedule, seed=1, checkpoint=path, after_step=masked(parts, 10))
    parts = a_net()
    train(parts, data, schedule, seed=1, checkpoint=path, after_step=masked(parts, -1))
    assert same(parts, whole)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 2}, "its seed"),
        ({"schedule": Schedule(5, 0.02, batch=16)}, r"learning_rate is 0.05 there and 0.02 here"),
        ({"model": a_net(9)}, "its initial weights"),
        ({"model": nn.Sequential(nn.Flatten(), nn.Linear(16, 3))}, r"1.weight is \[6\] there and \[3, 16\] here"),
        ({"data": some_data(100)}, "its data"),
        ({"data": other_targets()}, "its data"),
        ({"teacher": a_net()}, "its teacher"),
    ],
)
def test_the_checkpoint_of_another_training_is_refused(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    usual: dict[str, Any] = {"data": some_data(), "schedule": Schedule(5, 0.05, batch=16), "seed": 1}
    with pytest.raises(Interrupted):
        train(a_net(), checkpoint=path, progress=interrupt_after(1), **usual)
    with pytest.raises(InputError, match=f"another training: .*{said}") as caught:
        train(**{"model": a_net(), "checkpoint": path} | usual | change)
    assert caught.value.place == str(path)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.999])
def test_a_truncated_checkpoint_is_refused(keep: float, tmp_path: Path) -> None:
    path, data, schedule = tmp_path / "training.safetensors", some_data(), Schedule(1, 0.05)
    train(a_net(), data, schedule, seed=1, checkpoint=path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content))])
    with pytest.raises(InputError, match="damaged"):
        train(a_net(), data, schedule, seed=1, checkpoint=path)


def test_full_batches_follow_torchs_own_optimizer() -> None:
    data, schedule = lines(), Schedule(12, 0.1, batch=64, weight_decay=0.01, momentum=0.8)
    torch.manual_seed(3)
    model = nn.Linear(3, 1)
    reference = copy.deepcopy(model)
    history = train(model, data, schedule, seed=0)
    parts = [{"params": [reference.weight], "weight_decay": 0.01}, {"params": [reference.bias]}]
    optimizer = torch.optim.SGD(parts, lr=0.1, momentum=0.8, nesterov=True)
    for number in range(12):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(number)
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(reference(data.train.inputs), data.train.targets)
        assert history.epochs[number].loss == pytest.approx(loss.item(), rel=1e-4)
        loss.backward()
        optimizer.step()
    assert torch.allclose(model.weight, reference.weight, atol=1e-5) and torch.allclose(model.bias, reference.bias)


def test_digits_are_learnt_to_97_percent() -> None:
    data = load_data("digits", 0)
    model = load_model("digits_net", example_input=data.example_input)
    history = train(model, data, replace(ZOO["digits_net"].schedule, epochs=8), seed=0)
    assert evaluate(model, data.test, data.task) > 97
    assert history.best == len(history.epochs) == 8


def test_the_best_epoch_on_the_validation_split_is_kept() -> None:
    data, model = some_data(), a_net()
    history = train(model, data, Schedule(12, 0.5, batch=8, keep_best=True), seed=2)
    metrics = [epoch.metric for epoch in history.epochs]
    assert metrics[history.best - 1] == max(metrics) == evaluate(model, data.validation, data.task)
    assert metrics[-1] != max(metrics)  # otherwise this shows nothing


def test_of_metrics_that_should_be_low_the_lowest_is_kept() -> None:
    data, model = lines(), a_line()
    history = train(model, data, Schedule(3, 0.4, batch=8, decay="constant", keep_best=True), seed=0)
    metrics = [epoch.metric for epoch in history.epochs]
    assert evaluate(model, data.validation, data.task) == min(metrics) != metrics[-1]


@pytest.mark.parametrize(("optimizer", "rate"), [("sgd", 1e20), ("adam", 1e30)])
def test_a_loss_that_is_no_number_names_the_epoch_the_rate_and_what_to_do(optimizer: Any, rate: float) -> None:
    schedule = Schedule(4, rate, batch=16, optimizer=optimizer, decay="constant")
    with pytest.raises(
        Diverged, match=r"the loss is (nan|inf) in epoch \d of 4, at a learning rate of up to 1e\+"
    ) as caught:
        train(a_net(), some_data(), schedule, seed=0)
    assert f"--lr {rate / 10:.2g}" in str(caught.value.remedy)


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
@pytest.mark.parametrize(
    ("metrics", "higher_is_better", "best"),
    [
        ([50.0, torch.nan, 10.0, 5.0], True, 1),
        ([50.0, torch.nan, 10.0, 5.0], False, 4),
        ([torch.nan, 5.0, torch.nan, 4.0], True, 2),
        ([torch.nan, torch.nan, torch.nan, torch.nan], True, 4),
        ([1.0, 3.0, 3.0, 2.0], True, 3),
    ],
)
def test_a_metric_that_is_no_number_is_worse_than_any(
    metrics: list[float], higher_is_better: bool, best: int, cut: int, tmp_path: Path
) -> None:
    data, looks = lines(), iter(metrics)
    task = replace(data.task, metric=lambda outputs, targets: next(looks), higher_is_better=higher_is_better)
    data, schedule = replace(data, task=task), Schedule(4, keep_best=True)
    if cut:
        with pytest.raises(Interrupted):
            train(a_line(), data, schedule, seed=0, checkpoint=tmp_path / "t", progress=interrupt_after(cut))
    assert train(a_line(), data, schedule, seed=0, checkpoint=tmp_path / "t").best == best


def test_a_last_step_that_was_too_large_is_told() -> None:
    data = lines()
    large = replace(data, train=Split(data.train.inputs * 1e10, data.train.targets))
    schedule = Schedule(1, 1e35, batch=64, momentum=0.0, weight_decay=0.0, decay="constant")
    with pytest.raises(Diverged, match=r"'weight' holds NaN or infinity after epoch 1 of 1.*up to 1e\+35") as caught:
        train(a_line(), large, schedule, seed=0)
    assert suggested(caught.value) == 1e34


def test_an_infinite_mask_is_not_the_cause_of_a_training_that_diverges() -> None:
    class Masked(nn.Linear):
        def __init__(self) -> None:
            super().__init__(3, 1)
            self.register_buffer("mask", torch.full((3, 3), -torch.inf).triu(1))

    with pytest.raises(Diverged):
        train(Masked(), lines(), Schedule(3, 1e20, batch=16), seed=0)


def suggested(error: InputError) -> float:
    """The learning rate that a remedy names."""
    found = re.search(r"--lr ([\d.e+-]+)\)", error.remedy or "")
    assert found, error.remedy
    return float(found[1])


@pytest.mark.parametrize("step", [2, 5, 11, 23])
@pytest.mark.parametrize("schedule", [Schedule(2, 0.1, batch=5, warmup=1.0), Schedule(2, 0.1, batch=5)])
def test_a_lower_rate_than_any_so_far_is_suggested(schedule: Schedule, step: int) -> None:
    """Early in a warm-up a tenth of the schedule's highest rate is more than was used."""
    data, steps, rates = some_data(), 0, list[float]()

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        nonlocal steps
        rates.append(schedule.rate(steps / 12))
        steps += 1
        found = nn.functional.cross_entropy(outputs, targets)
        return found * float("inf") if steps == step else found

    with pytest.raises(Diverged, match=r"the loss is inf in epoch \d of 2, at a learning rate of up to") as caught:
        train(a_net(), replace(data, task=replace(data.task, loss=loss)), schedule, seed=0)
    assert suggested(caught.value) == pytest.approx(max(rates) / 10, rel=0.05)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("inputs", "1 of 60 inputs hold NaN or infinity"),
        ("targets", "1 of 64 targets hold NaN or infinity"),
        ("weights", r"the weights hold NaN or infinity in '0\.weight'"),
        ("loss", "before the first step"),
    ],
)
def test_a_loss_that_never_was_a_number_names_what_is_none(what: str, said: str) -> None:
    data, model = some_data(), a_net()
    if what == "inputs":
        inputs = data.train.inputs.clone()
        inputs[7, 0, 1, 1] = torch.nan
        data = replace(data, train=Split(inputs, data.train.targets))
    elif what == "targets":
        data, model = lines(), a_line()
        targets = data.train.targets.clone()
        targets[3] = torch.inf
        data = replace(data, train=Split(data.train.inputs, targets))
    elif what == "weights":
        model[0].weight.data[0, 0, 0, 0] = torch.nan
    else:
        data = replace(data, task=replace(data.task, loss=lambda outputs, targets: outputs.sum().abs().neg().log()))
    with pytest.raises(NotFinite, match=f"the loss is (nan|inf) in epoch 1 of 3.*{said}") as caught:
        train(model, data, Schedule(3, 0.1, batch=16), seed=0)
    assert not isinstance(caught.value, Diverged)
    assert what == "loss" or suggested(caught.value) == 0.01  # for a network that takes care of NaN itself


def test_a_student_follows_its_teacher_where_the_labels_are_noise() -> None:
    data = some_data(200)
    torch.manual_seed(0)
    teacher = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    with torch.no_grad():
        teacher[1].weight.mul_(20)
    wrong = Split(data.train.inputs, data.train.targets.roll(1))
    data = replace(data, train=wrong, augment=None)
    agreement = []
    for taught in (teacher, None):
        student = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
        train(student, data, Schedule(30, 0.2, batch=32, teacher_share=1.0), seed=0, teacher=taught)
        agreement.append(float((student(wrong.inputs).argmax(1) == teacher(wrong.inputs).argmax(1)).float().mean()))
    assert agreement[0] > 0.95 > 0.7 > agreement[1]


def test_bfloat16_rounds_products_and_nothing_that_is_kept() -> None:
    data, kinds = some_data(), set[torch.dtype]()

    class Seen(nn.Sequential):
        def forward(self, images: Tensor) -> Tensor:
            outputs = super().forward(images)
            kinds.add(outputs.dtype)
            return outputs

    losses = dict[str, float]()
    for precision in ("float32", "bfloat16"):
        model = Seen(*a_net())
        schedule = Schedule(2, 0.05, batch=16, precision=precision, keep_best=True)
        losses[precision] = train(model, data, schedule, seed=0).epochs[-1].loss
        assert {each.dtype for each in model.state_dict().values()} == {torch.float32, torch.int64}
    assert kinds == {torch.float32, torch.bfloat16}
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)
    assert losses["bfloat16"] != losses["float32"]


def test_a_task_without_a_soft_loss_has_no_teacher() -> None:
    with pytest.raises(InputError, match="'line' has no soft loss"):
        train(nn.Linear(3, 1), lines(), Schedule(1), seed=0, teacher=nn.Linear(3, 1))


def test_the_gradient_is_limited() -> None:
    data, model = lines(), a_line()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    schedule = Schedule(1, 0.5, batch=64, momentum=0.0, weight_decay=0.0, clip_norm=0.01, decay="constant")
    train(model, data, schedule, seed=0)
    moved = torch.cat([(a.detach() - b).flatten() for a, b in zip(model.parameters(), before, strict=True)])
    assert float(moved.norm()) == pytest.approx(0.5 * 0.01, rel=1e-3)


def test_frozen_weights_stay_and_the_rest_is_left_as_it_was_found() -> None:
    model = a_net().eval()
    model[0].weight.requires_grad_(False)
    kernel, state = model[0].weight.clone(), torch.get_rng_state()
    train(model, some_data(), Schedule(1, 0.1, batch=16), seed=0)
    assert model[0].weight.equal(kernel) and model[0].weight.is_contiguous()
    assert torch.get_rng_state().equal(state) and not model.training


def test_no_epochs_leave_the_network_as_it_is() -> None:
    model = a_net()
    assert train(model, some_data(), Schedule(0), seed=0) == History((), 0)
    assert same(model, a_net())


def test_a_network_without_weights_is_told() -> None:
    with pytest.raises(InputError, match="no weights to train"):
        train(nn.Sequential(nn.Flatten()), some_data(), Schedule(1), seed=0)


def test_a_fault_in_the_users_loss_is_told_with_its_line() -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return outputs @ targets

    data = lines()
    data = replace(data, task=replace(data.task, loss=loss))
    line = loss.__code__.co_firstlineno + 1
    with pytest.raises(InputError, match="RuntimeError") as caught:
        train(nn.Linear(3, 1), data, Schedule(1, batch=8), seed=0)
    assert caught.value.place == f"{__file__}:{line}"
