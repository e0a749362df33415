"""Batch-norm statistics anew from given images, because those of the unpruned network no longer fit."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from automl_core.errors import InputError

__all__ = ["recalibrate"]


def recalibrate(
    model: nn.Module,
    inputs: Tensor,
    batch: int = 256,
    *,
    forward: Callable[[nn.Module, Tensor], object] | None = None,
) -> None:
    """Sets, in place, the statistics of every batch norm to their mean over the batches of ``inputs``.

    Forward passes without gradients; all else of the model is in evaluation mode for them, dropout included, and all
    modules are in their former mode afterwards. A batch norm that does not run is left as it is, and so is one without
    running statistics.

    Args:
        model: the model.
        inputs: (examples, ...), on the model's device.
        batch: examples at a time. Every batch counts alike, as in torch's own cumulative average; one example left over
            joins the batch before it, because a batch norm cannot measure the spread of one value.
        forward: (model, inputs) -> outputs; ``model(inputs)`` where nothing is given.

    Raises:
        InputError: there are no inputs, or no examples a batch.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
    if not norms:
        return
    if not len(inputs) or batch < 1:
        raise InputError(
            f"batch norms cannot be measured on {len(inputs)} examples, {batch} at a time", remedy="give at least one"
        )
    modes = {module: module.training for module in model.modules()}
    momenta = [norm.momentum for norm in norms]
    before = [{name: buffer.clone() for name, buffer in norm.named_buffers(recurse=False)} for norm in norms]
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the cumulative mean
        norm.training = True
    try:
        with torch.no_grad():
            for examples in _batches(inputs, batch):
                model(examples) if forward is None else forward(model, examples)
    finally:
        for norm, momentum, statistics in zip(norms, momenta, before, strict=True):
            norm.momentum = momentum
            if not norm.num_batches_tracked:  # it did not run
                norm.load_state_dict(statistics, strict=False)
        for module, mode in modes.items():
            module.training = mode


def _batches(inputs: Tensor, batch: int) -> list[Tensor]:
    ends = [*range(batch, len(inputs), batch), len(inputs)]
    if len(ends) > 1 and ends[-1] - ends[-2] == 1:
        del ends[-2]
    return [inputs[begin:end] for begin, end in zip([0, *ends], ends, strict=False)]
