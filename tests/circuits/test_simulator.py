"""The handle: what goes wrong stays with the point it belongs to, and no point knows of another."""

from __future__ import annotations

import math
import os
import pickle
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from automl_core.errors import EvaluationError, EvaluationTimeout, InputError
from circuits.bench import Analysis, Bench, Measure, Reading
from circuits.simulator import Simulator, compare_modes

AMPLIFIER = Bench(
    (
        "two stages: BSIM4 with an active load, then a diode-loaded square-law follower",
        ".param w=10u rl=20k ib=20u",
        "vdd vdd 0 1.8",
        "vin in 0 dc 0.55 ac 1 sin(0.55 1m 10meg)",
        "ib p 0 {ib}",
        "m3 p p vdd vdd pch w=20u l=0.2u",
        "m2 out p vdd vdd pch w=20u l=0.2u",
        "m1 out in 0 0 nch w={w} l=0.2u",
        "rl out 0 {rl}",
        "m4 vdd out e 0 simple w={w} l=1u",
        "d1 e 0 dd",
        "cl out 0 1p",
        ".model nch nmos level=14 version=4.5 toxe=4n vth0=0.42 u0=0.04 ndep=4e17 cgso=3e-10 cgdo=3e-10",
        ".model pch pmos level=14 version=4.5 toxe=4n vth0=-0.44 u0=0.01 ndep=4e17 cgso=3e-10 cgdo=3e-10",
        ".model simple nmos level=1 vto=0.2 kp=150u lambda=0.03 cgso=1n",
        ".model dd d is=1e-14 cjo=1p tt=1n",
        ".end",
    ),
    (
        Analysis("op", "op"),
        Analysis("ac", "ac dec 5 1k 10g"),
        Analysis("tran", "tran 2n 100n"),
        Analysis("noise", "noise v(out) vin dec 2 1k 1g"),
        Analysis("dc", "dc vin 0.3 0.8 0.1"),
    ),
    (Measure("gain", "ac", take="max vm(out)"), Measure("output", "op", kind="voltage", arguments={"node": "out"})),
    devices=("m1", "m2", "m3", "m4"),
    alters={"w": ("@m1[w]", "@m4[w]"), "rl": ("@rl[resistance]",), "ib": ("@ib[dc]",)},
)
NO_SOLUTION = Bench(
    ("none for i > 0", ".param i=-1m", "r1 1 0 1k", "b1 1 0 i=v(2)*(v(1)>0 ? 1 : -1)", "v2 2 0 {i}", ".end"),
    (Analysis("op", "op"),),
    (Measure("v", "op", kind="voltage", arguments={"node": "1"}),),
    alters={"i": ("@v2[dc]",)},
)
DIVIDER = Bench(
    ("divider", ".param r=1k", "v1 1 0 1", "r1 1 2 1k", "r2 2 0 {r}", ".end"),
    (Analysis("op", "op"),),
    (Measure("v", "op", kind="voltage", arguments={"node": "2"}),),
    alters={"r": ("@r2[resistance]",)},
)
SLOW = Bench(
    (
        "RC whose second source breaks the time into steps of a parameter",
        ".param t=1u",
        "v1 1 0 sin(0 1 1meg)",
        "r1 1 2 1k",
        "c1 2 0 1n",
        "v2 3 0 pulse(0 1 0 {t} {t} {t} {4*t})",
        "r2 3 0 1k",
        ".end",
    ),
    (Analysis("tran", "tran 10n 300u"),),
    (Measure("peak", "tran", take="max v(2) from=100u"),),
)
QUICK, ONE_SECOND, ENDLESS = {"t": 1e-6}, {"t": 5e-9}, {"t": 1e-13}


def _points(count: int) -> list[dict[str, float]]:
    rng = random.Random(7)
    ranges = {"w": (1e-6, 1e-4), "rl": (1e3, 1e6), "ib": (1e-6, 1e-4)}
    return [{name: low * (high / low) ** rng.random() for name, (low, high) in ranges.items()} for _ in range(count)]


def _all_of(bench: Bench, points: Sequence[dict[str, float]], order: Sequence[int], size: int) -> dict[int, bytes]:
    """What each point gives to the last bit of every vector, evaluated in an order, in chunks, in a fresh child."""
    wanted: dict[str, tuple[str, ...]] = {analysis.name: () for analysis in bench.analyses}
    found = {}
    with Simulator(bench, limit_seconds=30) as simulator:
        for first in range(0, len(order), size):
            chunk = order[first : first + size]
            outcomes = simulator.evaluate_chunk([points[k] for k in chunk], waveforms=wanted)
            for k, outcome in zip(chunk, outcomes, strict=True):
                bits: object = str(outcome)
                if isinstance(outcome, Reading):
                    waves = {a: {v: x.tobytes() for v, x in w.items()} for a, w in outcome.waveforms.items()}
                    bits = (waves, {name: float(value).hex() for name, value in outcome.metrics.items()})
                found[k] = pickle.dumps(bits)
    return found


def _apart(bench: Bench, points: Sequence[dict[str, float]]) -> float:
    """How far the two modes are from each other."""
    with (
        Simulator(replace(bench, mode="reset"), limit_seconds=30) as expanded,
        Simulator(replace(bench, mode="alter"), limit_seconds=30) as altered,
    ):
        return compare_modes(expanded, altered, points)


def _gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"  # ended; whoever adopted it has not looked yet


def _eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return condition()


@contextmanager
def _killing(simulator: Simulator, *delays: float) -> Iterator[list[int]]:
    """Kill children of a simulator from outside, each so many seconds after it was first seen."""
    killed: list[int] = []
    over = threading.Event()

    def hunt() -> None:
        for delay in delays:
            while simulator.pid is None or simulator.pid in killed:
                if over.wait(0.005):
                    return
            pid = simulator.pid
            over.wait(delay)
            os.kill(pid, signal.SIGKILL)
            killed.append(pid)

    simulator.start()
    thread = threading.Thread(target=hunt)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


@pytest.mark.parametrize("mode", ["alter", "reset"])
def test_a_point_gives_the_same_bits_in_any_order_chunk_and_child(mode: str) -> None:
    points = _points(24)
    for one, other in zip(points[::3], points[1::3], strict=True):
        other |= {"w": one["w"], "ib": one["ib"]}  # what a point shares with the one before it is not altered again
    order = list(range(24))
    first = _all_of(replace(AMPLIFIER, mode=mode), points, order, 24)
    random.Random(1).shuffle(order)
    assert _all_of(replace(AMPLIFIER, mode=mode), points, order, 5) == first
    assert len(set(first.values())) == 24
    assert not any(b"no result" in bits for bits in first.values())


@pytest.mark.parametrize("mode", ["alter", "reset"])
def test_a_failed_point_leaves_nothing_behind(mode: str) -> None:
    points = [{"i": i} for i in (-1e-3, 1e-3, -2e-3, -1e-4, 2e-3, -5e-3)]
    bench = replace(NO_SOLUTION, mode=mode)
    found = _all_of(bench, points, [1, 0, 4, 3, 2, 1, 5], 7)
    alone = {k: _all_of(bench, points, [k], 1)[k] for k in (0, 2, 3, 5)}
    assert {k: found[k] for k in alone} == alone
    assert b"no result" in found[1]


def test_altering_and_expanding_agree() -> None:
    assert _apart(AMPLIFIER, _points(8)) < 2e-6


def test_modes_that_disagree_are_told_apart() -> None:
    wrong = replace(AMPLIFIER, alters={**AMPLIFIER.alters, "w": ("@m1[w]",)})
    assert _apart(wrong, _points(4)) > 1e-4
    failing = replace(NO_SOLUTION, alters={"i": ("@r1[resistance]",)})
    assert _apart(failing, [{"i": 1e-3}]) == math.inf


def test_parameters_left_out_have_the_decks_values() -> None:
    lines = ("t", ".param a=1k b=1k", "v1 1 0 1", "r1 1 2 {a}", "r2 2 0 {b}", ".end")
    bench = replace(DIVIDER, lines=lines, alters={"a": ("@r1[resistance]",), "b": ("@r2[resistance]",)})
    for mode in ("reset", "alter"):
        with Simulator(replace(bench, mode=mode), limit_seconds=30) as simulator:
            outcomes = simulator.evaluate_chunk([{"a": 3e3}, {"b": 3e3}, {}, {"a": 3e3, "b": 3e3}])
            metrics = [outcome.metrics["v"] for outcome in outcomes if isinstance(outcome, Reading)]
            assert metrics == pytest.approx([0.25, 0.75, 0.5, 0.5])


def test_an_endless_point_is_killed_at_the_limit_and_the_rest_goes_on() -> None:
    with Simulator(SLOW, limit_seconds=1.0) as simulator:
        (undisturbed,) = simulator.evaluate_chunk([QUICK])
        first = simulator.pid
        before = time.monotonic()
        outcomes = simulator.evaluate_chunk([QUICK, ENDLESS, QUICK])
        assert 1.0 <= time.monotonic() - before < 6
        assert first is not None
        assert _gone(first)
        assert simulator.pid not in (None, first)
    assert [type(outcome) for outcome in outcomes] == [Reading, EvaluationTimeout, Reading]
    assert str(outcomes[1]) == "no result after 1 s"
    for outcome in (outcomes[0], outcomes[2]):
        assert isinstance(outcome, Reading)
        assert isinstance(undisturbed, Reading)
        assert outcome.metrics == undisturbed.metrics


def test_a_child_killed_from_outside_costs_time_and_nothing_else() -> None:
    points = [QUICK, ONE_SECOND, QUICK]
    with Simulator(SLOW, limit_seconds=30) as simulator:
        undisturbed = [outcome.metrics for outcome in simulator.evaluate_chunk(points) if isinstance(outcome, Reading)]
        assert len(undisturbed) == 3
        with _killing(simulator, 0.3) as killed:
            outcomes = simulator.evaluate_chunk(points)
        assert len(killed) == 1
        assert [outcome.metrics for outcome in outcomes if isinstance(outcome, Reading)] == undisturbed


def test_a_point_that_kills_its_child_twice_fails_and_the_rest_goes_on() -> None:
    with Simulator(SLOW, limit_seconds=60) as simulator:
        expected = simulator.evaluate(QUICK).metrics
        with _killing(simulator, 0.3, 0.3) as killed:
            outcomes = simulator.evaluate_chunk([ENDLESS, QUICK])
    assert len(killed) == 2
    assert type(outcomes[0]) is EvaluationError
    assert "died of this point, twice: signal SIGKILL" in str(outcomes[0])
    assert isinstance(outcomes[1], Reading)
    assert outcomes[1].metrics == expected


def test_a_child_idle_when_killed_is_replaced() -> None:
    with Simulator(DIVIDER, limit_seconds=30) as simulator:
        assert simulator.evaluate({"r": 1e3}).metrics["v"] == pytest.approx(0.5)
        os.kill(simulator.pid or 0, signal.SIGKILL)
        assert simulator.evaluate({"r": 3e3}).metrics["v"] == pytest.approx(0.75)


def test_memory_is_bounded() -> None:
    with Simulator(SLOW, limit_seconds=60, memory_bytes=225 << 20) as simulator:
        assert isinstance(simulator.evaluate_chunk([QUICK])[0], Reading)
        with pytest.raises(EvaluationError, match="can't allocate"):
            simulator.evaluate({"t": 1e-12})


def test_the_child_dies_with_its_parent_however_busy(tmp_path: Path) -> None:
    program = tmp_path / "parent.py"
    program.write_text(
        textwrap.dedent("""
        import threading
        from circuits.simulator import Analysis, Bench, Simulator
        lines = ("t", "v1 1 0 sin(0 1 1meg)", "r1 1 2 1k", "c1 2 0 1n", ".end")
        bench = Bench(lines, (Analysis("a", "tran 1p 10 0 1p"),), ())
        simulator = Simulator(bench, limit_seconds=None)
        simulator.start()
        print(simulator.pid, simulator._child._folder, flush=True)
        thread = threading.Thread(target=simulator.evaluate, args=({},))
        thread.start()
        thread.join(0.3)
        print("busy", flush=True)
        thread.join()
    """)
    )
    root = str(Path(__file__).resolve().parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    parent = subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True, env=environment)
    assert parent.stdout is not None
    pid, folder = parent.stdout.readline().split()
    assert parent.stdout.readline() == "busy\n"
    assert not _gone(int(pid))
    assert Path(folder).is_dir()
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert _eventually(lambda: _gone(int(pid)))
    assert _eventually(lambda: not Path(folder).exists())


def test_nothing_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with Simulator(DIVIDER, limit_seconds=30) as simulator:
            simulator.start()
            pid = simulator.pid
            assert list(tmp_path.iterdir())
        assert pid is not None
        assert not Path(f"/proc/{pid}").exists()
        with pytest.raises(InputError):
            Simulator(replace(DIVIDER, lines=("t", "x1 1 0 nosub", ".end")), limit_seconds=30).start()
    simulator = Simulator(DIVIDER, limit_seconds=30)
    simulator.start()
    pid = simulator.pid
    del simulator
    assert not Path(f"/proc/{pid}").exists()
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_ctrl_c_reaches_the_parent_alone() -> None:
    with Simulator(DIVIDER, limit_seconds=30) as simulator:
        simulator.start()
        pid = simulator.pid or 0
        assert os.getsid(pid) == pid != os.getsid(0)
        os.kill(pid, signal.SIGINT)
        assert simulator.evaluate({"r": 1e3}).metrics["v"] == pytest.approx(0.5)
        assert simulator.pid == pid


def test_an_interrupt_in_the_middle_of_a_chunk_ends_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    with Simulator(SLOW, limit_seconds=30) as simulator:
        simulator.start()
        pid = simulator.pid
        thread = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            simulator.evaluate(ENDLESS)
        thread.join()
        assert simulator.pid is None
        assert not Path(f"/proc/{pid}").exists()
        assert simulator.evaluate(QUICK).metrics["peak"] > 0


def test_a_simulator_is_stopped_from_another_thread() -> None:
    with Simulator(SLOW, limit_seconds=None) as simulator:
        simulator.start()
        thread = threading.Timer(0.3, simulator.stop)
        thread.start()
        with pytest.raises(EvaluationError, match="stopped"):
            simulator.evaluate(ENDLESS)
        thread.join()
        assert simulator.pid is None


def test_two_simulators_in_two_threads_do_not_meet() -> None:
    def run(r: float) -> list[float]:
        with Simulator(DIVIDER, limit_seconds=30) as simulator:
            readings = [simulator.evaluate({"r": r * k}) for k in range(1, 60)]
        return [reading.metrics["v"] for reading in readings]

    with ThreadPoolExecutor(2) as pool:
        for r, values in zip((1e3, 7e3), pool.map(run, (1e3, 7e3)), strict=True):
            assert values == pytest.approx([r * k / (1e3 + r * k) for k in range(1, 60)])


def test_a_copy_has_a_child_of_its_own() -> None:
    with Simulator(DIVIDER, limit_seconds=30) as simulator:
        simulator.start()
        with pickle.loads(pickle.dumps(simulator)) as copy:
            assert copy.pid is None
            assert copy.evaluate({"r": 3e3}).metrics == simulator.evaluate({"r": 3e3}).metrics
            assert copy.pid != simulator.pid


def test_a_fork_leaves_its_parents_child_alone() -> None:
    with Simulator(DIVIDER, limit_seconds=30) as simulator:
        simulator.start()
        ours = simulator.pid
        reader, writer = os.pipe()
        if os.fork() == 0:  # pragma: no cover - another process
            value = simulator.evaluate({"r": 3e3}).metrics["v"]
            os.write(writer, f"{value} {simulator.pid != ours}".encode())
            simulator.close()
            os._exit(0)
        os.close(writer)
        os.wait()
        found, apart = os.read(reader, 100).decode().split()
        os.close(reader)
        assert float(found) == pytest.approx(0.75)
        assert apart == "True"
        assert simulator.evaluate({"r": 1e3}).metrics["v"] == pytest.approx(0.5)
        assert simulator.pid == ours


def test_a_child_is_replaced_after_so_many_evaluations() -> None:
    with Simulator(DIVIDER, limit_seconds=30, recycle_after=5) as simulator:
        pids = set()
        for _ in range(4):
            simulator.evaluate_chunk([{"r": 1e3}] * 3)
            pids.add(simulator.pid)
        assert len(pids) == 2


@pytest.mark.parametrize("mode", ["alter", "reset"])
def test_memory_of_a_child_stays_flat(mode: str) -> None:
    def megabytes() -> float:
        return int(Path(f"/proc/{simulator.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

    bench = replace(AMPLIFIER, analyses=AMPLIFIER.analyses[:2], mode=mode)
    with Simulator(bench, limit_seconds=30) as simulator:
        simulator.evaluate_chunk(_points(200))
        early = megabytes()
        simulator.evaluate_chunk(_points(1500))
        assert megabytes() / early < 1.1
