"""Budgets as users write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from automl_core.errors import InputError
from nn_compression.problems.budget import CostLimit


@pytest.mark.parametrize(
    ("text", "metric", "base", "bound"),
    [
        ("macs=0.5", "macs", 40_550_001, 20_275_000),
        ("macs=50%", "macs", 40_550_001, 20_275_000),
        ("macs=20M", "macs", 40_550_000, 20_000_000),
        ("macs = 1e6", "macs", 40_550_000, 1_000_000),
        ("macs=1", "macs", 77, 77),
        ("bytes=44k", "bytes", 1_724_320, 44_000),
        ("bytes=44KiB", "bytes", 1_724_320, 45_056),
        ("bytes=.1", "bytes", 1_724_320, 172_432),
        ("latency=0.6", "latency", 2e-3, 1.2e-3),
        ("latency=0.2ms", "latency", 2e-3, 0.2e-3),
        ("latency=150us", "latency", 2e-3, 150e-6),
        ("energy=3uJ", "energy", 2e-3, 3e-6),
    ],
)
def test_a_budget_is_a_share_or_an_amount(text: str, metric: str, base: float, bound: float) -> None:
    limit = CostLimit.parse(text)
    assert limit.metric == metric
    assert limit.bound(base) == pytest.approx(bound, rel=1e-12)


@given(st.integers(1, 1000), st.integers(1, 10**10))
def test_a_share_of_macs_is_rounded_down_as_it_is_written(thousandths: int, base: int) -> None:
    assert CostLimit.parse(f"macs={thousandths / 10:.1f}%").bound(base) == thousandths * base // 1000
    assert CostLimit("macs", thousandths / 1000).bound(base) == thousandths * base // 1000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.5", "NAME=AMOUNT"),
        ("mac=0.5", "'macs'"),
        ("macs=lots", "'lots'"),
        ("macs=0.2ms", "'0.2ms'"),
        ("macs=-1", "'-1'"),
        ("macs=0", "positive"),
        ("latency=3", "at most 1"),
        ("macs=120%", "at most 1"),
        ("macs=1.5", "share of at most 1, or a whole amount"),
        ("latency=20M", "ms"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_can(text: str, said: str) -> None:
    with pytest.raises(InputError) as refusal:
        CostLimit.parse(text)
    assert said in str(refusal.value) and refusal.value.remedy


def test_a_budget_is_shown_as_it_would_be_written() -> None:
    assert str(CostLimit.parse("macs=0.5")) == "macs=0.5"
    assert str(CostLimit.parse("bytes=44k")) == "bytes=44000 bytes"
