"""Optimizers: one algorithm a file, made by name.

An optimizer proposes designs and hears how they did. It has no loop, no simulator and no output; what it draws comes
from its own seeded generator, so that the same seed and the same trials give the same proposals.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast, runtime_checkable

from automl_core.errors import InputError

if TYPE_CHECKING:  # the names alone cost nothing: the command line's help lists them
    from automl_core.budget import Budget
    from automl_core.problem import Allowed, Trial
    from automl_core.space import Array, DesignSpace, Point
    from automl_core.specs import Specs
    from automl_core.targets import Targets

__all__ = ["Checkpointed", "Factory", "Masked", "Optimizer", "Targeted", "Transferable", "check_name", "make", "names"]


class Optimizer(Protocol):
    """Proposes designs.

    A trace, for a space of two variables::

        ask(2)             -> [[0.2, 0.9], [0.7, 0.1]]
        tell([trial 0])       a foreign trial (the designer's own sizing) may come at any time
        tell([trial 2, trial 1])   any count, any order
        ask(1)             -> [[0.3, 0.8]]
    """

    def ask(self, n: int) -> Array:
        """The next designs, shape (k, dim), in [0, 1], with 1 <= k <= n.

        Fewer than ``n`` come from an optimizer that has to hear of these before it can propose more.
        """

    def tell(self, trials: Sequence[Trial]) -> None:
        """Hear of trials: any count, in any order, also ones that were never asked for, also failed ones."""


@runtime_checkable
class Checkpointed(Optimizer, Protocol):
    """An optimizer whose state is kept in the record, because replaying all its trials would cost too much."""

    def checkpoint(self) -> bytes | None:
        """All that the trials it was told do not say (weights, generators, schedules); ``None``: replay is as good."""

    def restore(self, state: bytes, trials: Sequence[Trial]) -> None:
        """Go on from a state that ``checkpoint`` gave, as if nothing had happened.

        Args:
            state: what ``checkpoint`` gave.
            trials: the different trials that it had been told by then, in the order it first heard of them.
        """


@runtime_checkable
class Masked(Optimizer, Protocol):
    """An optimizer that decides variable by variable, and asks at each what is still allowed."""

    def restrict(self, allowed: Callable[[Sequence[Point]], Sequence[Allowed]]) -> None:
        """Hear how to ask (:meth:`automl_core.problem.Sequential.allowed`), before anything else."""


@runtime_checkable
class Transferable(Optimizer, Protocol):
    """An optimizer that begins from what it learnt on other problems, other targets or other technologies."""

    observes: bool
    """Whether it reads the observations of trials, which then are worth their cost."""

    def load(self, policy: Path) -> str:
        """Begin from a policy.

        Args:
            policy: a folder that ``save`` wrote.

        Returns:
            A sentence: what was loaded, and what starts fresh because the policy has never seen it.

        Raises:
            InputError: it is no policy, or one of another optimizer.
        """

    def save(self, policy: Path) -> None:
        """Write what was learnt into a folder."""


@runtime_checkable
class Targeted(Optimizer, Protocol):
    """An optimizer that can be trained over a range of targets."""

    def aim(self, targets: Targets) -> None:
        """Propose every design for a target drawn from these."""


Factory: TypeAlias = "Callable[[DesignSpace, Specs, int, Budget], Optimizer]"

_FACTORIES: Mapping[str, tuple[str, str]] = {
    "auto": ("automl_core.optimizers.portfolio", "Auto"),
    "cmaes": ("automl_core.optimizers.cmaes", "CmaEs"),
    "de": ("automl_core.optimizers.de", "DifferentialEvolution"),
    "gcn": ("automl_core.agent.agent", "Gcn"),
    "gcn-no-model": ("automl_core.agent.agent", "GcnWithoutModel"),
    "nsga2": ("automl_core.optimizers.nsga2", "NonDominatedSorting"),
    "random": ("automl_core.optimizers.random", "RandomSearch"),
    "sb3-ddpg": ("automl_core.optimizers.sb3", "Ddpg"),
    "sb3-ppo": ("automl_core.optimizers.sb3", "Ppo"),
    "sb3-sac": ("automl_core.optimizers.sb3", "Sac"),
    "sb3-td3": ("automl_core.optimizers.sb3", "Td3"),
    "seq2seq": ("automl_core.agent.agent", "Seq2Seq"),
    "seq2seq-no-model": ("automl_core.agent.agent", "Seq2SeqWithoutModel"),
    "tpe": ("automl_core.optimizers.tpe", "TreeParzen"),
    "trust-region": ("automl_core.optimizers.trust_region", "TrustRegion"),
}


def names() -> tuple[str, ...]:
    """The optimizers there are."""
    return tuple(_FACTORIES)


def check_name(name: str) -> None:
    """Refuse a name that no optimizer has, before any work.

    Raises:
        InputError: there is no optimizer of that name.
    """
    if name not in _FACTORIES:
        from automl_core.nearest import did_you_mean

        raise InputError(f"there is no optimizer {name!r}", remedy=did_you_mean(name, _FACTORIES, "the optimizers"))


def make(name: str, space: DesignSpace, specs: Specs, seed: int, budget: Budget) -> Optimizer:
    """Make an optimizer by name; its module is imported now and not before.

    Raises:
        InputError: there is no optimizer of that name.
    """
    check_name(name)
    module, attribute = _FACTORIES[name]
    return cast(Factory, getattr(import_module(module), attribute))(space, specs, seed, budget)
