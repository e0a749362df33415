import math

import numpy as np
import pytest

from automl_core.environment.observation import NodeFeatures, Reached, Seen, squash, targets
from automl_core.problem import Trial
from automl_core.space import DesignSpace, Node, Variable
from automl_core.specs import Spec, Specs

SPECS = Specs([Spec("gain", minimum=60.0, weight=3.0), Spec("power", maximum=2.0, goal="minimize", scale=4.0)])


def trial(**metrics: float) -> Trial:
    return Trial(0, np.zeros(1), np.zeros(1), {}, metrics)


def test_any_number_is_squashed_in_order() -> None:
    numbers = [-math.inf, -1e30, -5.0, -1e-6, 0.0, 1e-6, 5.0, 1e3, 1e4, math.inf]
    squashed = squash(numbers)
    assert np.all(np.diff(squashed) > 0) and squashed[0] == -1 and squashed[-1] == 1
    assert squashed[5] == pytest.approx(1e-6, rel=1e-5)
    assert squashed[8] - squashed[7] > 0.02, "decades stay apart"
    assert squash([math.nan]) == [0.0]


def test_targets_say_bounds_goals_and_weights() -> None:
    half, whole = (math.asinh(x) / (1 + math.asinh(x)) for x in (0.5, 1.0))
    assert targets(SPECS) == pytest.approx([whole, 1.0, 0.0, 0.75, -1.0, half, -1.0, 0.25])
    tighter = Specs([Spec("power", maximum=1.0, scale=4.0)])
    assert targets(tighter)[1] < half, "with a scale, a tighter bound looks tighter"


def test_what_was_reached_shows_margins_and_merits() -> None:
    reached = Reached(SPECS)
    assert reached(None).tolist() == [0.0, 0.0, 0.0, 0.0]
    gain, no_merit, power, merit = reached(trial(gain=30.0, power=1.0))
    assert gain == -squash([0.5])[0] and no_merit == 0.0, "half of the gain is missing"
    assert power == merit == squash([0.25])[0], "1 of 4 below the bound"
    assert reached(trial(gain=math.nan)).tolist() == [-1.0, 0.0, -1.0, 0.0], "what is not known is as bad as can be"


def test_nodes_show_their_kind_and_features() -> None:
    nodes = [Node("m1", "nmos", {"w": -4.0}), Node("m2", "pmos", {"l": 0.5, "w": 2.0})]
    features = NodeFeatures(nodes)
    assert features(nodes[0]).tolist() == [1, 0, 0, -1]
    assert features(nodes[1]).tolist() == [0, 1, 1, 0.5]
    assert features(None).tolist() == [0, 0, 0, 0]


def test_observations_are_finite_and_scaled_by_the_first() -> None:
    space = DesignSpace([Variable("w")], [Node("m1", "nmos", slots={"w": "w"}), Node("m2", "nmos")])
    seen = Seen(space, {"m1": {"gm": 1e-4, "vth": 0.0}, "m2": {"gm": -4e-4}, "gone": {"gm": 1.0}})
    assert seen.size == 3
    gone_scale = Seen(space, {"m1": {"gm": 1e-4, "vth": 0.0}, "m2": {"gm": -4e-4}})
    assert gone_scale({"m1": {"gm": 4e-4}}).tolist() == [squash([1.0])[0], 0.0, 0.0]
    wild = gone_scale({"m1": {"gm": math.inf, "vth": math.nan}, "m2": {"new": 3.0}})
    assert wild.tolist() == [1.0, 0.0, 0.0]
