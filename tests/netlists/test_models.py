"""The model cards against hand calculation: the textbook's MOSFET, worked out here from a few of the card's values.

Long devices (10 um by 10 um), so that the square law holds; each tolerance says what it leaves out.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.netlists.plain_ngspice import NETLISTS, figures

CHARGE, BOLTZMANN, KELVIN = 1.602e-19, 1.381e-23, 300.15
SILICON, OXIDE = 11.7 * 8.854e-12, 3.9 * 8.854e-12
INTRINSIC = 1.45e16  # carriers per m3 at 300 K
THERMAL = BOLTZMANN * KELVIN / CHARGE
SIZE = 10e-6


@dataclass(frozen=True)
class Card:
    """A card by name, and what a designer expects of its class."""

    name: str
    library: str
    supply: float
    shortest: float  # um
    transconductance: float  # 2 Id / (W/L Vov2) of a long device, A/V2 [CJM, in the card]
    on_current: float  # of the shortest channel at full supply, A per m of width
    gains: dict[float, tuple[float, float]]  # channel length in um: range of gm/gds at 0.2 V of overdrive

    @property
    def sign(self) -> int:
        return 1 if self.name.startswith("nmos") else -1


CARDS = (
    Card("nmos_180", "bsim4_180nm.lib", 1.8, 0.18, 270e-6, 600, {0.18: (15, 35), 0.5: (40, 60), 2: (100, 200)}),
    Card("pmos_180", "bsim4_180nm.lib", 1.8, 0.18, 70e-6, 220, {0.18: (15, 35), 0.5: (40, 70), 2: (100, 200)}),
    Card("nmos_45", "bsim4_45nm.lib", 1.1, 0.045, 280e-6, 1000, {0.045: (7, 15), 0.09: (14, 25), 0.5: (40, 60)}),
    Card("pmos_45", "bsim4_45nm.lib", 1.1, 0.045, 70e-6, 310, {0.045: (7, 15), 0.09: (14, 30), 0.5: (40, 75)}),
)


@pytest.fixture(params=CARDS, ids=lambda card: card.name)
def card(request: pytest.FixtureRequest) -> Card:
    return request.param


@cache
def written(library: str, name: str) -> dict[str, float]:
    """The numbers of one .model card, read here with a few lines of our own."""
    scale = {"": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3}
    text = (NETLISTS / "models" / library).read_text()
    model = re.search(rf"^\.model {name} \w+(.*(?:\n\+.*)*)", text, re.MULTILINE)
    assert model is not None
    pairs = re.findall(r"(\w+)=(-?[\d.]+(?:e-?\d+)?)([num]?)\b", model[1])
    return {key: float(value) * scale[suffix] for key, value, suffix in pairs}


class Hand:
    """The hand's MOSFET: oxide, depletion, body factor, mobility."""

    def __init__(self, card: Card) -> None:
        self.p = p = written(card.library, card.name)
        doping = p["ndep"] * 1e6
        self.cox = OXIDE / p["toxe"]
        self.surface = 0.4 + THERMAL * math.log(doping / INTRINSIC)  # BSIM's phi_s
        self.depth = math.sqrt(2 * SILICON * self.surface / (CHARGE * doping))
        self.gamma = math.sqrt(2 * CHARGE * SILICON * doping) / self.cox
        self.threshold = abs(p["vth0"])

    def body_factor(self) -> float:
        """1 + gamma / (2 sqrt(phi)): how much of the gate's charge the bulk takes along the channel."""
        return 1 + self.p["k1"] / (2 * math.sqrt(self.surface))

    def mobility(self, vgs: float) -> float:
        return self.p["u0"] / (1 + self.p["ua"] * (vgs + self.threshold) / self.p["toxe"])

    def saturation_current(self, vgs: float) -> float:
        drive = vgs - self.threshold
        return self.mobility(vgs) * self.cox * drive**2 / (2 * self.body_factor())


def device(card: Card, vgs: float, vds: float, *, width: float = SIZE, length: float = SIZE, vbs: float = 0) -> str:
    s = card.sign
    return (
        f"one transistor\n.include {NETLISTS / 'models' / card.library}\n"
        f"m1 d g 0 b {card.name} w={width} l={length}\n"
        f"vd d 0 {s * vds}\nvg g 0 dc {s * vgs} ac 1\nvb b 0 {s * vbs}\nh1 out 0 vd 1k\n"
    )


def operating_point(card: Card, folder: Path, vgs: float, vds: float, **where: float) -> dict[str, float]:
    names = ("id", "gm", "gds", "vth", "capbd")
    control = ["op", *(f"print @m1[{name}]" for name in names)]
    found = figures(device(card, vgs, vds, **where), control, folder)
    return {name: found[f"@m1[{name}]"] for name in names}


@pytest.mark.parametrize("drive", [0.4, 0.5, 0.6])
def test_saturation_current_follows_the_square_law(card: Card, drive: float, tmp_path: Path) -> None:
    hand = Hand(card)
    vgs = hand.threshold + drive
    point = operating_point(card, tmp_path, vgs, card.supply / 2)
    # left out: the depth of the channel's charge (- 8 %), weak inversion (+ 8 % at 0.4 V), length and velocity terms
    assert point["id"] == pytest.approx(hand.saturation_current(vgs), rel=0.1)


@pytest.mark.parametrize("drive", [0.4, 0.5, 0.6])
def test_gm_is_the_slope_of_the_square_law(card: Card, drive: float, tmp_path: Path) -> None:
    hand, step = Hand(card), 1e-3
    vgs = hand.threshold + drive
    slope = (hand.saturation_current(vgs + step) - hand.saturation_current(vgs - step)) / (2 * step)
    point = operating_point(card, tmp_path, vgs, card.supply / 2)
    # the same terms; those that cancel in the current add up in its slope
    assert point["gm"] == pytest.approx(slope, rel=0.1)


def test_gm_is_the_derivative_of_the_current(card: Card, tmp_path: Path) -> None:
    step, vgs = 1e-3, 0.7
    low, middle, high = (operating_point(card, tmp_path, v, card.supply / 2) for v in (vgs - step, vgs, vgs + step))
    assert middle["gm"] == pytest.approx((high["id"] - low["id"]) / (2 * step), rel=1e-4)


def test_triode_current(card: Card, tmp_path: Path) -> None:
    hand, vds = Hand(card), 0.05
    vgs = hand.threshold + 0.5
    hand_current = hand.mobility(vgs) * hand.cox * (0.5 - hand.body_factor() * vds / 2) * vds
    # left out: the channel's charge lies below the oxide, which test_gate_and_overlap_capacitance sees as - 10 %
    assert operating_point(card, tmp_path, vgs, vds)["id"] == pytest.approx(hand_current, rel=0.1)


def test_transconductance_parameter_is_the_tables(card: Card, tmp_path: Path) -> None:
    drive = 0.25
    current = operating_point(card, tmp_path, Hand(card).threshold + drive, card.supply / 2)["id"]
    # as [CJM] define it, by the square law with no body factor; the card is of a class: within 15 % of their figure
    assert 2 * current / drive**2 == pytest.approx(card.transconductance, rel=0.15)


def test_threshold_extrapolated_from_the_linear_region(card: Card, tmp_path: Path) -> None:
    sweep = [(v, operating_point(card, tmp_path, v, 0.05)) for v in (0.55, 0.6, 0.65, 0.7)]
    vgs, steepest = max(sweep, key=lambda one: one[1]["gm"])
    extrapolated = vgs - steepest["id"] / steepest["gm"] - 0.05 / 2
    assert extrapolated == pytest.approx(abs(written(card.library, card.name)["vth0"]), abs=0.03)


def test_subthreshold_slope(card: Card, tmp_path: Path) -> None:
    hand = Hand(card)
    n = 1 + hand.p["nfactor"] * (SILICON / hand.depth) / hand.cox
    low, high = (operating_point(card, tmp_path, v, 0.5)["id"] for v in (0.15, 0.25))
    slope = 0.1 / math.log10(high / low)
    assert slope == pytest.approx(n * THERMAL * math.log(10), rel=0.03)
    assert 0.075 < slope < 0.095


def test_body_effect(card: Card, tmp_path: Path) -> None:
    hand = Hand(card)
    assert hand.p["k1"] == pytest.approx(hand.gamma, rel=0.02)
    straight, pulled = (operating_point(card, tmp_path, 0.8, 0.5, vbs=v)["vth"] for v in (0, -0.8))
    shift = hand.gamma * (math.sqrt(hand.surface + 0.8) - math.sqrt(hand.surface))
    assert pulled - straight == pytest.approx(shift, rel=0.05)


def test_gate_and_overlap_capacitance(card: Card, tmp_path: Path) -> None:
    hand = Hand(card)

    def capacitance(source: str, vgs: float) -> float:
        control = ["ac lin 1 1meg 1meg", f"let c = -imag(i({source}))/2/pi/1e6", "print c"]
        return figures(device(card, vgs, 0), control, tmp_path)["c"]

    on, off = capacitance("vg", card.supply), capacitance("vd", 0)
    # the channel's charge lies some way below the oxide: a tenth less than the oxide alone
    assert 0.85 < on / (hand.cox * SIZE * SIZE) < 0.97
    assert -off == pytest.approx(hand.p["cgdo"] * SIZE, rel=0.01)


def test_junction_capacitance(card: Card, tmp_path: Path) -> None:
    p = Hand(card).p
    long = 2 * p["dmcg"]  # contact in the middle of the diffusion
    bottom, side = long * SIZE * p["cjs"], (2 * long + SIZE) * p["cjsws"] + SIZE * p["cjswgs"]
    assert operating_point(card, tmp_path, 0, 0)["capbd"] == pytest.approx(bottom + side, rel=1e-3)
    assert 0.4e-9 < (bottom + side) / SIZE < 1.2e-9


def test_noise(card: Card, tmp_path: Path) -> None:
    hand = Hand(card)
    control = ["op", "let drain = @m1[id]", "print drain @m1[gm]", "noise v(out) vg dec 1 1 1g"]
    control += ["setplot previous", "let low = onoise_spectrum[0]", "let high = onoise_spectrum[9]", "print low high"]
    found = figures(device(card, 1.0, card.supply / 2), control, tmp_path)
    flicker, thermal = (found["low"] / 1e3) ** 2, (found["high"] / 1e3) ** 2
    assert flicker - thermal == pytest.approx(hand.p["kf"] * found["drain"] / (hand.cox * SIZE**2), rel=0.01)
    textbook = 4 * BOLTZMANN * KELVIN * 2 / 3 * hand.body_factor() * found["@m1[gm]"]
    assert thermal == pytest.approx(textbook, rel=0.08)


def test_flicker_noise_coefficient_is_a_textbooks(card: Card) -> None:
    hand = Hand(card)
    k = hand.p["kf"] / (2 * hand.mobility(hand.threshold + 0.2) * hand.cox)
    assert 1e-25 <= k <= 3e-24


def test_intrinsic_gain(card: Card, tmp_path: Path) -> None:
    for length, (low, high) in card.gains.items():
        where = {"width": length * 10e-6, "length": length * 1e-6}
        threshold = operating_point(card, tmp_path, 0.65, card.supply / 2, **where)["vth"]
        point = operating_point(card, tmp_path, abs(threshold) + 0.2, card.supply / 2, **where)
        assert low < point["gm"] / point["gds"] < high, length


def test_shortest_channel(card: Card, tmp_path: Path) -> None:
    length = card.shortest * 1e-6
    full = operating_point(card, tmp_path, card.supply, card.supply, width=SIZE, length=length)
    off = operating_point(card, tmp_path, 0, card.supply, width=SIZE, length=length)
    assert full["id"] / SIZE == pytest.approx(card.on_current, rel=0.15)
    assert off["id"] < 1e-5 * full["id"]
