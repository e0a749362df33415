import numpy as np
import pytest

from automl_core.errors import InputError
from automl_core.specs import Spec, Specs
from automl_core.targets import Range, Targets

SPECS = Specs([Spec("gain", minimum=60.0, weight=2.0), Spec("power", maximum=1e-3, goal="minimize")])


def test_targets_are_drawn_from_their_ranges_and_keep_what_has_none() -> None:
    targets = Targets(SPECS, {}, {"power": Range(1e-5, 1e-1, "log")})
    drawn = targets.draw(400, np.random.default_rng(0))
    bounds = [specs.by_metric["power"].maximum or 0.0 for specs in drawn]
    assert all(1e-5 <= bound <= 1e-1 for bound in bounds) and len(set(bounds)) == 400
    assert 0.4 < np.mean([bound < 1e-3 for bound in bounds]) < 0.6, "log-uniform: half lie below the middle decade"
    assert all(specs.by_metric["gain"] == SPECS.by_metric["gain"] for specs in drawn)
    assert all(specs.by_metric["power"].goal == "minimize" for specs in drawn)
    assert targets.middle.by_metric["power"].maximum == pytest.approx(1e-3)


def test_the_same_generator_draws_the_same_targets() -> None:
    targets = Targets(SPECS, {"gain": Range(40.0, 80.0)}, {})
    one, two = (targets.draw(5, np.random.default_rng(3)) for _ in range(2))
    assert [specs.by_metric["gain"].minimum for specs in one] == [specs.by_metric["gain"].minimum for specs in two]


def test_a_range_of_an_unknown_metric_is_refused() -> None:
    with pytest.raises(InputError, match="no spec names the metric 'gian'"):
        Targets(SPECS, {"gian": Range(1.0, 2.0)}, {})
