"""Toy problems with known optima, each stated with its source: for tests, and for comparisons of optimizers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from automl_core.errors import EvaluationError
from automl_core.problem import Allowed, Evaluation
from automl_core.space import DesignSpace, Edge, Node, Point, Variable
from automl_core.specs import Spec, Specs

__all__ = [
    "Ackley",
    "Allocation",
    "BinhKorn",
    "Cliff",
    "Corners",
    "HotFailure",
    "Kinds",
    "PressureVessel",
    "Rosenbrock",
    "Spring",
]


@dataclass(frozen=True)
class Rosenbrock:
    """The banana valley: least value 0 at (1, ..., 1). Source: Rosenbrock (1960)."""

    dim: int = 2

    scenarios = ("",)
    specs = Specs([Spec("value", maximum=1e-3)])

    @property
    def space(self) -> DesignSpace:
        """``dim`` numbers in [-2, 2]."""
        return DesignSpace([Variable(f"x{i}", -2.0, 2.0) for i in range(self.dim)])

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        """The metric ``value``."""
        x = np.array([float(point[f"x{i}"]) for i in range(self.dim)])
        value = float(np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)) if self.dim > 1 else (x[0] - 1) ** 2
        return Evaluation({"value": float(value)})


@dataclass(frozen=True)
class Corners:
    """A quadratic seen from three scenarios that pull it apart.

    The metric is (x - shift)² + y² with shift 0, -1, +1: the worst over scenarios is least, 1, at the origin.
    """

    scenarios = ("nominal", "low", "high")
    specs = Specs([Spec("distance", maximum=4.0, goal="minimize")])

    @property
    def space(self) -> DesignSpace:
        """Two numbers, begun at (2.5, 2.5)."""
        return DesignSpace([Variable("x", -3.0, 3.0, start=2.5), Variable("y", -3.0, 3.0, start=2.5)])

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        """The metric ``distance``."""
        shift = {"nominal": 0.0, "low": -1.0, "high": 1.0}[scenario]
        return Evaluation({"distance": (float(point["x"]) - shift) ** 2 + float(point["y"]) ** 2})


@dataclass(frozen=True)
class HotFailure:
    """A sum of two numbers in [0, 1] that has no figures when hot where x < 1/2: least 0.5, at (0.5, 0).

    The nominal scenario alone leads to (0, 0), which fails.
    """

    scenarios = ("nominal", "hot")
    specs = Specs([Spec("sum", maximum=1.2, goal="minimize")])

    @property
    def space(self) -> DesignSpace:
        """Two numbers."""
        return DesignSpace([Variable("x"), Variable("y")])

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        """The metric ``sum``."""
        if scenario == "hot" and float(point["x"]) < 0.5:
            raise EvaluationError(f"x is {float(point['x']):.3g}, below 1/2")
        return Evaluation({"sum": float(point["x"]) + float(point["y"])})


@dataclass(frozen=True)
class Allocation:
    """Integers that share a budget: a toy of channel pruning.

    Four parts keep n_i of 16; the cost sum(w_i n_i) with weights 1, 2, 3, 4 may be 80 of 160; the value is
    sum(v_i sqrt(n_i)) with v = 1, 2, 1, 4. Its greatest value, by enumeration of all 16^4 designs, is 24.2164 at
    (11, 11, 1, 11).
    """

    weights = (1, 2, 3, 4)
    values = (1.0, 2.0, 1.0, 4.0)
    limit = 80
    scenarios = ("",)
    specs = Specs([Spec("value", minimum=23.0, goal="maximize"), Spec("cost", maximum=limit)])

    @property
    def space(self) -> DesignSpace:
        """Four integers, each at a node with its weight, in a chain."""
        variables = [Variable(f"n{i}", 1, 16, integer=True) for i in range(4)]
        nodes = [
            Node(f"part{i}", "part", {"weight": float(w), "value": v}, {"n": f"n{i}"})
            for i, (w, v) in enumerate(zip(self.weights, self.values, strict=True))
        ]
        return DesignSpace(variables, nodes, [Edge(f"part{i}", f"part{i + 1}", "next") for i in range(3)])

    def cost(self, point: Point) -> int:
        """Weighted sum of what is kept, of the parts that are decided."""
        return sum(w * int(point[f"n{i}"]) for i, w in enumerate(self.weights) if f"n{i}" in point)

    def allowed(self, prefixes: Sequence[Point]) -> list[Allowed]:
        """What still fits when the rest is at its least."""
        answers = []
        for prefix in prefixes:
            position = len(prefix)
            rest = sum(self.weights[position + 1 :])
            most = (self.limit - self.cost(prefix) - rest) // self.weights[position]
            features = {"spent": self.cost(prefix) / self.limit, "rest": rest / self.limit}
            answers.append(Allowed(values=tuple(range(1, min(16, most) + 1)), features=features))
        return answers

    def repair(self, point: Point) -> dict[str, int]:
        """Take from the largest until the budget holds; a design within it stays as it is."""
        kept = {f"n{i}": int(point[f"n{i}"]) for i in range(4)}
        while self.cost(kept) > self.limit:
            kept[max(kept, key=lambda name: kept[name])] -= 1
        return kept

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        """The metrics ``value`` and ``cost``, and what each part gave."""
        gains = [v * math.sqrt(int(point[f"n{i}"])) for i, v in enumerate(self.values)]
        seen = {f"part{i}": {"gain": gain} for i, gain in enumerate(gains)}
        return Evaluation({"value": sum(gains), "cost": self.cost(point)}, seen)


@dataclass(frozen=True)
class Kinds:
    """Choices among numbers: least value 0 with material "b", shape "round" and x = 0.25 (its start is elsewhere)."""

    scenarios = ("",)
    specs = Specs([Spec("value", maximum=0.01)])

    @property
    def space(self) -> DesignSpace:
        """Two choices, a number on a log scale and an integer."""
        return DesignSpace(
            [
                Variable("material", choices=("a", "b", "c", "d"), start="d"),
                Variable("shape", choices=("flat", "round"), start="flat"),
                Variable("x", 0.01, 1.0, scale="log", start=0.5),
                Variable("n", 1, 9, integer=True, start=2),
            ]
        )

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        """The metric ``value``."""
        wrong = {"a": 0.7, "b": 0.0, "c": 0.3, "d": 0.5}[str(point["material"])] + 0.4 * (point["shape"] != "round")
        value = wrong + math.log(float(point["x"]) / 0.25) ** 2 + 0.1 * abs(int(point["n"]) - 6)
        return Evaluation({"value": value})


@dataclass(frozen=True)
class Cliff:
    """A third of the cube fails, and a metric is missing in another part: the least sum, 0.6, lies at the edge."""

    dim: int = 3
    scenarios = ("",)
    specs = Specs([Spec("sum", maximum=0.9), Spec("product", minimum=1e-9)])

    @property
    def space(self) -> DesignSpace:
        """``dim`` numbers in [0, 1]."""
        return DesignSpace([Variable(f"x{i}") for i in range(self.dim)])

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        """Fails where the first coordinate is below 1/3; ``product`` is missing where it is above 0.9."""
        x = [float(point[f"x{i}"]) for i in range(self.dim)]
        if x[0] < 1 / 3:
            raise EvaluationError(f"x0 is {x[0]:.3g}, below 1/3")
        return Evaluation({"sum": sum(x), "product": math.nan if x[0] > 0.9 else math.prod(x)})


@dataclass(frozen=True)
class Ackley:
    """Many local minima on a funnel: least value 0 at the origin.

    Source: Ackley (1987), in the box off the centre that Eriksson et al. (2019) search.
    """

    dim: int = 5

    scenarios = ("",)
    specs = Specs([Spec("value", maximum=0.1, goal="minimize")])

    @property
    def space(self) -> DesignSpace:
        """``dim`` numbers in [-5, 10]."""
        return DesignSpace([Variable(f"x{i}", -5.0, 10.0) for i in range(self.dim)])

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        """The metric ``value``."""
        x = np.array([float(point[f"x{i}"]) for i in range(self.dim)])
        funnel = -20.0 * math.exp(-0.2 * math.sqrt(np.mean(x**2)))
        ripples = -math.exp(np.mean(np.cos(2 * math.pi * x)))
        return Evaluation({"value": funnel + ripples + 20.0 + math.e})


@dataclass(frozen=True)
class PressureVessel:
    """A cylinder with round heads, of plates that come in sixteenths of an inch: two grids, two numbers, three limits.

    The least cost is 6059.7143, with plates of 0.8125 and 0.4375 inches, radius 42.0984 and length 176.6366: the first
    and the last limit are then reached.
    Source: Kannan and Kramer (1994); optimum proved by Yang, Huyck, Karamanoglu and Khan (2013).
    """

    scenarios = ("",)
    specs = Specs(
        [
            Spec("cost", goal="minimize", scale=6000.0),
            Spec("shell", minimum=1.0),
            Spec("head", minimum=1.0),
            Spec("volume", minimum=1.0),
        ]
    )

    @property
    def space(self) -> DesignSpace:
        """Two thicknesses on a grid, radius and length, all in inches."""
        return DesignSpace(
            [
                Variable("shell", 0.0625, 6.1875, step=0.0625),
                Variable("head", 0.0625, 6.1875, step=0.0625),
                Variable("radius", 10.0, 200.0),
                Variable("length", 10.0, 200.0),
            ]
        )

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        """The metric ``cost``, and what there is of each limit as a ratio of what there must be."""
        shell, head, radius, length = (float(point[name]) for name in ("shell", "head", "radius", "length"))
        plates = 0.6224 * shell * radius * length + 1.7781 * head * radius**2
        welds = (3.1661 * length + 19.84 * radius) * shell**2
        volume = math.pi * radius**2 * (length + 4 / 3 * radius)
        return Evaluation(
            {
                "cost": plates + welds,
                "shell": shell / (0.0193 * radius),
                "head": head / (0.00954 * radius),
                "volume": volume / 1_296_000,
            }
        )


@dataclass(frozen=True)
class Spring:
    """A coil spring, as light as four limits let it be; few designs of the box keep them.

    The least weight is 0.0126652, with wire 0.05169, coil 0.35675 and 11.2871 turns: deflection and stress are then at
    their limits. Source: Arora, "Introduction to Optimum Design" (1989); optimum: Coello and Montes (2002) and later.
    """

    scenarios = ("",)
    specs = Specs(
        [
            Spec("weight", goal="minimize", scale=0.01),
            Spec("deflection", minimum=1.0),
            Spec("stress", maximum=1.0),
            Spec("surge", minimum=1.0),
            Spec("diameter", maximum=1.5),
        ]
    )

    @property
    def space(self) -> DesignSpace:
        """Diameters of wire and coil in inches, and the number of turns."""
        return DesignSpace([Variable("wire", 0.05, 2.0), Variable("coil", 0.25, 1.3), Variable("turns", 2.0, 15.0)])

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        """The metric ``weight``; deflection, stress and surge frequency as ratios of their limits; the diameter."""
        wire, coil, turns = (float(point[name]) for name in ("wire", "coil", "turns"))
        bent = 12566 * wire**3 * (coil - wire)
        return Evaluation(
            {
                "weight": (turns + 2) * coil * wire**2,
                "deflection": coil**3 * turns / (71785 * wire**4),
                "stress": coil * (4 * coil - wire) / bent + 1 / (5108 * wire**2) if bent else math.inf,
                "surge": 140.45 * wire / (coil**2 * turns),
                "diameter": coil + wire,
            }
        )


@dataclass(frozen=True)
class BinhKorn:
    """Two goals against each other, under two limits.

    The Pareto front is x = y from 0 to 3, then y = 3 with x from 3 to 5: near = 8 x^2 and far = 2 (x - 5)^2, then
    near = 4 x^2 + 36 and far = (x - 5)^2 + 4. Source: Binh and Korn (1997).
    """

    scenarios = ("",)
    specs = Specs(
        [
            Spec("near", goal="minimize", scale=140.0),
            Spec("far", goal="minimize", scale=50.0),
            Spec("within", maximum=25.0),
            Spec("beyond", minimum=7.7),
        ]
    )

    @property
    def space(self) -> DesignSpace:
        """Two numbers: x in [0, 5] and y in [0, 3]."""
        return DesignSpace([Variable("x", 0.0, 5.0), Variable("y", 0.0, 3.0)])

    def evaluate(self, point: Point, scenario: str, seed: int) -> Evaluation:
        """Four times the squared distance from (0, 0), that from (5, 5), and those that the limits hold."""
        x, y = float(point["x"]), float(point["y"])
        return Evaluation(
            {
                "near": 4 * (x**2 + y**2),
                "far": (x - 5) ** 2 + (y - 5) ** 2,
                "within": (x - 5) ** 2 + y**2,
                "beyond": (x - 8) ** 2 + (y + 3) ** 2,
            }
        )
