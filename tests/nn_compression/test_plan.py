"""Methods and budgets: which pairs there are, and how far each stage goes."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_core.errors import InputError
from nn_compression.run.plan import METHODS, make_plan

AMOUNTS = {"macs": "macs=20M", "bytes": "bytes=44k", "latency": "latency=0.2ms", "energy": "energy=2mJ"}
VALID = {
    ("channels", "macs"),
    ("channels", "bytes"),
    ("channels", "latency"),
    ("bits", "bytes"),
    ("bits", "latency"),
    ("bits", "energy"),
    ("sparsity", "bytes"),
    ("deep", "bytes"),
    ("all", "bytes"),
}


@pytest.mark.parametrize("metric", AMOUNTS)
@pytest.mark.parametrize("method", METHODS)
def test_a_pair_is_taken_or_refused_with_the_pairs_that_there_are(method: str, metric: str) -> None:
    if (method, metric) in VALID:
        plan = make_plan(method, AMOUNTS[metric], None)
        assert plan.method == method and plan.limit is not None and plan.limit.metric == metric
        return
    with pytest.raises(InputError) as caught:
        make_plan(method, AMOUNTS[metric], None)
    assert repr(method) in caught.value.problem and metric in caught.value.problem
    remedy = caught.value.remedy or ""
    own, _, others = remedy.partition(";")
    assert set(re.findall(r"--budget (\w+)=", own)) == {name for m, name in VALID if m == method}
    assert set(re.findall(r"--method (\w+)", others)) == {name for name, m in VALID if m == metric}


def test_an_unknown_method_names_the_nearest() -> None:
    with pytest.raises(InputError, match="no method 'chanels'") as caught:
        make_plan("chanels", None, None)
    assert "'channels'" in (caught.value.remedy or "")


def test_a_budget_and_a_drop_exclude_each_other() -> None:
    with pytest.raises(InputError, match="exclude"):
        make_plan("channels", "macs=0.5", 0.5)


@pytest.mark.parametrize("method", METHODS)
def test_without_a_budget_there_is_a_usual_one(method: str) -> None:
    plan = make_plan(method, None, None)
    assert plan.limit is not None and plan.limit.relative and (method, plan.limit.metric) in VALID


def test_only_a_model_of_hardware_is_modelled() -> None:
    modelled = {(m, b): make_plan(m, AMOUNTS[b], None).stages[-1].modelled for m, b in VALID}
    assert {pair for pair, yes in modelled.items() if yes} == {("bits", "latency"), ("bits", "energy")}


@given(share=st.decimals("0.001", 1, places=4), base=st.integers(1000, 10**9))
def test_the_stages_of_all_go_down_by_factors_and_end_at_the_budget(share: Decimal, base: int) -> None:
    plan = make_plan("all", f"bytes={share}", None)
    assert [stage.method for stage in plan.stages] == ["channels", "sparsity", "bits"]
    bounds = []
    for stage in plan.stages:
        limit = stage.bound(base)
        assert limit is not None and limit.metric == "bytes"
        bounds.append(limit.bound(base))
    assert bounds[-1] == int(share * base)  # the whole budget, to the byte
    assert base >= bounds[0] >= bounds[1] >= bounds[2]
    third = min(3 * bounds[2] / base, 1.0)  # rounding makes a file of sparse floats about three times smaller
    assert abs(bounds[1] - third * base) <= 0.5 + 1e-6 * base
    assert abs(bounds[0] - third**0.5 * base) <= 0.5 + 1e-6 * base


def test_an_absolute_budget_is_divided_as_the_share_that_it_is() -> None:
    parts = [stage.bound(12_000.0) for stage in make_plan("all", "bytes=1k", None).stages]
    assert [limit.bound(12_000.0) for limit in parts if limit] == [6_000, 3_000, 1_000]


def test_a_drop_is_used_up_stage_by_stage() -> None:
    stages = make_plan("all", None, 0.6).stages
    assert [stage.drop for stage in stages] == pytest.approx([0.15, 0.3, 0.6])
    assert all(stage.bound(1e6) is None for stage in stages)
    assert make_plan("channels", None, 0.5).stages[0].metric == "macs"
    assert make_plan("deep", None, 0.5).stages[0].metric == "bytes"
