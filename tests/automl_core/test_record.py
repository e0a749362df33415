import math
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from automl_core.errors import RecordError
from automl_core.problem import Trial
from automl_core.record import Record


def trial(number: int) -> Trial:
    return Trial(
        number=number,
        asked=np.array([0.1, 1 / 3]),
        unit=np.array([0.1, 0.25]),
        point={"w": 1e-6, "n": 3, "kind": "x"},
        metrics={"gain": math.nan, "power": 1.25e-4},
        by_scenario={"": {"gain": math.nan, "power": 1.25e-4}},
        observations={"m1": {"gm": 1e-3}},
        status="ok",
        error=None,
        parent=0,
        cost=1,
        seconds=0.25,
        artifacts=(("a.raw", "ff"),),
    )


def test_a_trial_comes_back_as_it_was(tmp_path: Path) -> None:
    with Record.create(tmp_path / "s.sqlite") as record:
        record.append([trial(0), trial(1)], elapsed=2.5)
    with Record.open(tmp_path / "s.sqlite") as record:
        first, second = record.trials()
        assert repr(first) == repr(trial(0)) and second.number == 1
        assert record.facts()["elapsed"] == 2.5


def test_a_gathered_file_can_be_moved_alone_while_somebody_has_it_open(tmp_path: Path) -> None:
    with Record.create(tmp_path / "draft") as record:
        reader = sqlite3.connect(tmp_path / "draft")
        assert reader.execute("SELECT COUNT(*) FROM trials").fetchone() == (0,)
        record.append([trial(0), trial(1)])
        record.gather()
    (tmp_path / "draft").rename(tmp_path / "moved.sqlite")
    with Record.open(tmp_path / "moved.sqlite") as moved:
        assert len(moved) == 2
    reader.close()


def test_the_checkpoint_is_that_of_the_last_batch(tmp_path: Path) -> None:
    with Record.create(tmp_path / "s.sqlite") as record:
        assert record.checkpoint() is None
        record.append([trial(0)], checkpoint=b"one")
        record.append([trial(1), trial(2)], checkpoint=b"two")
        assert record.checkpoint() == (1, b"two"), "the state before the last batch, which had seen one trial"


def test_a_batch_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    with Record.create(tmp_path / "s.sqlite") as record:
        record.append([trial(0)])
        with pytest.raises(RecordError):
            record.append([trial(1), trial(0)])
        assert [t.number for t in record.trials()] == [0]


def test_a_writer_that_is_killed_loses_no_batch_it_was_told_is_written(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import sys
        from automl_core.record import Record
        from tests.automl_core.test_record import trial
        record = Record.create(sys.argv[1])
        for batch in range(10_000):
            record.append([trial(16 * batch + i) for i in range(16)])
            print(batch, flush=True)
    """)
    path = tmp_path / "s.sqlite"
    root = Path(__file__).parents[2]
    writer = subprocess.Popen([sys.executable, "-c", script, path], cwd=root, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    told = [int(writer.stdout.readline()) for _ in range(20)]
    os.kill(writer.pid, signal.SIGKILL)
    told += [int(line) for line in writer.stdout.read().splitlines()]
    writer.wait()
    writer.stdout.close()
    with Record.open(path) as record:
        assert len(record) % 16 == 0
        assert len(record) >= 16 * (told[-1] + 1)


def test_what_cannot_be_opened_is_explained(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="no such study"):
        Record.open(tmp_path / "none.sqlite")
    (tmp_path / "text.sqlite").write_text("not a database, but long enough to be looked at as one by the library" * 50)
    with pytest.raises(RecordError, match="not a database"):
        Record.open(tmp_path / "text.sqlite")
    Record.create(tmp_path / "s.sqlite").close()
    with pytest.raises(RecordError, match="exists already"):
        Record.create(tmp_path / "s.sqlite")


def test_a_damaged_file_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with Record.create(path) as record:
        for start in range(0, 3200, 16):
            record.append([trial(start + i) for i in range(16)])
    content = bytearray(path.read_bytes())
    content[4096:200_000] = b"\xff" * (200_000 - 4096)
    path.write_bytes(content)
    with pytest.raises(RecordError, match=r"s\.sqlite"), Record.open(path) as record:
        list(record.trials())


def test_a_full_disk_is_explained_and_keeps_what_was_written(tmp_path: Path) -> None:
    with Record.create(tmp_path / "s.sqlite") as record:
        record.append([trial(0)])
        pages = record._connection.execute("PRAGMA page_count").fetchone()[0]
        record._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(RecordError, match="full") as caught:
            for number in range(1, 1000):
                record.append([trial(number)])
        assert "free some space" in str(caught.value)
        written = [t.number for t in record.trials()]
        assert written == list(range(len(written))) and written


def test_another_format_is_refused(tmp_path: Path) -> None:
    Record.create(tmp_path / "s.sqlite").close()
    connection = sqlite3.connect(tmp_path / "s.sqlite")
    connection.execute("UPDATE facts SET value = '99' WHERE name = 'format'")
    connection.commit()
    connection.close()
    with pytest.raises(RecordError, match="99"):
        Record.open(tmp_path / "s.sqlite")


def test_a_begun_file_is_there_with_its_facts_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "study.sqlite"
    written = Record.write_earlier
    with monkeypatch.context() as patched:

        def cut_off(record: Record, trials: object) -> None:
            raise KeyboardInterrupt

        patched.setattr(Record, "write_earlier", cut_off)
        with pytest.raises(KeyboardInterrupt):
            Record.begin(path, {"seed": 3})
    assert Record.write_earlier is written
    assert not path.exists()
    with Record.begin(path, {"seed": 3, "kind": "sizing"}, [trial(7)]) as record:
        assert record.facts()["seed"] == 3 and record.facts()["kind"] == "sizing"
        assert [t.number for t in record.earlier()] == [0]
    assert os.listdir(tmp_path) == ["study.sqlite"]
    with pytest.raises(RecordError, match="exists already"):
        Record.begin(path, {})
