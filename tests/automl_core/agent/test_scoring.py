import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from automl_core.agent.scoring import SpecTensors
from automl_core.specs import Spec, Specs

SPECS = Specs(
    [
        Spec("gain", minimum=60.0),
        Spec("power", maximum=2e-4, goal="minimize", weight=2.0),
        Spec("offset", minimum=-1e-3, maximum=1e-3),
        Spec("speed", minimum=4e7, goal="maximize", scale=1e7),
    ]
)
NUMBERS = st.tuples(
    st.floats(0, 120),
    st.floats(1e-6, 1e-2),
    st.floats(-1e-2, 1e-2),
    st.floats(1e5, 1e9),
)


@given(NUMBERS, st.sets(st.integers(0, 3)))
def test_the_loss_is_that_of_the_specs(values: tuple[float, ...], missing: set[int]) -> None:
    pairs = zip(SPECS.by_metric, values, strict=True)
    metrics = {name: math.nan if i in missing else value for i, (name, value) in enumerate(pairs)}
    expected = SPECS.score(metrics)
    measured = torch.tensor([[0.0 if i in missing else 1.0 for i in range(4)]])
    found = float(SpecTensors(SPECS).loss(torch.tensor([values], dtype=torch.float32), measured)[0])
    if not missing and abs(expected.violation) < 1e-5:  # float32 cannot tell which side of a bound
        return
    assert found == pytest.approx(expected.loss, rel=1e-4, abs=1e-5)


def test_rows_may_differ_in_their_bounds() -> None:
    easy, hard = Specs([Spec("gain", minimum=40.0)]), Specs([Spec("gain", minimum=80.0)])
    loss = SpecTensors([easy, hard]).loss(torch.tensor([[60.0], [60.0]]))
    assert loss[0] < 0 < loss[1]
    assert float(loss[1]) == pytest.approx(hard.score({"gain": 60.0}).loss)
