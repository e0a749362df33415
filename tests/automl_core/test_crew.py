"""Processes that do long tasks: what each of them may do to the others, which is nothing."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from automl_core.crew import Failed, each
from automl_core.errors import InputError


def act(task: tuple[str, object]) -> object:
    """What a task asks for, in the process that does it."""
    word, argument = task
    if word == "say":
        return argument, os.getpid()
    if word == "refuse":
        raise InputError(f"no {argument}", place="deck.cir:3", remedy="another one")
    if word == "raise":
        return {}[argument]
    if word == "exit":
        os._exit(int(str(argument)))
    if word == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "raise what does not pickle":
        raise type("Local", (RuntimeError,), {})(lambda: argument)
    if word == "meet":
        folder = Path(str(argument))
        (folder / str(os.getpid())).touch()
        while len(list(folder.iterdir())) < 2:  # the other one comes only if both run at once
            time.sleep(0.01)
        return "met"
    raise AssertionError(word)


def test_a_task_that_fails_takes_nothing_with_it() -> None:
    tasks = [
        ("say", 1),
        ("refuse", "gain"),
        ("raise", "key"),
        ("exit", 3),
        ("die", 0),
        ("raise what does not pickle", 2),
        ("say", 2),
    ]
    answers = dict(each(act, tasks, 1))
    assert list(answers) == tasks
    assert answers["refuse", "gain"] == Failed("deck.cir:3: no gain\n  another one")
    raised = answers["raise", "key"]
    assert isinstance(raised, Failed) and raised.reason.startswith("KeyError: 'key' (test_crew.py:")
    assert answers["exit", 3] == Failed("its process ended with status 3")
    assert answers["die", 0] == Failed("its process was killed by SIGKILL")
    assert isinstance(answers["raise what does not pickle", 2], Failed)
    first, last = answers["say", 1], answers["say", 2]
    assert isinstance(first, tuple) and isinstance(last, tuple)
    assert (first[0], last[0]) == (1, 2) and first[1] != last[1] and os.getpid() not in (first[1], last[1])


class EndsAtItsStart:
    """A function whose process ends while it reads what it is to do."""

    def __call__(self, task: str) -> None:
        raise AssertionError("no process comes so far")

    def __reduce__(self) -> tuple[object, ...]:
        return os._exit, (7,)


@pytest.mark.parametrize("size", [1, 10_000_000], ids=["sent before it dies", "still being sent when it dies"])
def test_a_process_that_ends_at_its_start_is_the_answer_to_its_task(size: int) -> None:
    answers = [answer for _, answer in each(EndsAtItsStart(), ["x" * size] * 2, 1)]
    assert answers == [Failed("its process ended with status 7")] * 2


def test_a_process_that_dies_idle_takes_no_task_with_it() -> None:
    answers = []
    for _, answer in each(act, [("say", n) for n in range(3)], 1):
        assert isinstance(answer, tuple), answer
        answers.append(answer)
        os.kill(answer[1], signal.SIGKILL)
        while any(child.pid == answer[1] for child in multiprocessing.active_children()):  # its threads may end later
            time.sleep(0.01)
    assert [said for said, _ in answers] == [0, 1, 2] and len({pid for _, pid in answers}) == 3


def test_a_process_is_used_again() -> None:
    answers = [answer for _, answer in each(act, [("say", n) for n in range(3)], 1)]
    assert len({pid for _, pid in answers}) == 1  # type: ignore[misc]


def test_tasks_run_at_once(tmp_path: Path) -> None:
    assert [answer for _, answer in each(act, [("meet", str(tmp_path))] * 2, 2)] == ["met", "met"]


def test_no_jobs_are_refused() -> None:
    with pytest.raises(InputError, match="at least 1, but is 0"):
        list(each(act, [("say", 1)], 0))


def test_processes_end_with_the_iterator() -> None:
    crew = each(act, [("say", 1), ("say", 2)], 1)
    _, answer = next(crew)
    assert isinstance(answer, tuple)
    crew.close()  # type: ignore[attr-defined]
    with pytest.raises(ProcessLookupError):
        os.kill(answer[1], 0)


PARENT = """
import sys
from automl_core.crew import each
from tests.automl_core.test_crew import act
for _, answer in each(act, [("say", 1), ("meet", sys.argv[1])], 1):
    print(answer[1], flush=True)
"""


def test_processes_do_not_outlive_a_parent_that_is_killed(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[2]
    script, meeting = tmp_path / "parent.py", tmp_path / "meeting"
    script.write_text(
        f"import sys\nsys.path.insert(0, {str(root)!r})\nif __name__ == '__main__':" + PARENT.replace("\n", "\n    ")
    )
    meeting.mkdir()
    parent = subprocess.Popen([sys.executable, str(script), str(meeting)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    while not list(meeting.iterdir()):  # it is at a task that never ends
        time.sleep(0.01)
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 20
    while alive(child):
        assert time.monotonic() < deadline, "the child is still there"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
