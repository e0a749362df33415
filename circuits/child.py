"""A simulator child as its parent sees it: started, spoken to, killed; nothing of it stays behind."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path
from typing import Any

from automl_core.errors import InputError, SizewiseError
from circuits.bench import Bench
from circuits.channel import Channel

__all__ = ["Child", "Died", "TookTooLong"]

_SPICEINIT = "* found here, so that ngspice looks for no other\n"
_NOT_FOR_THE_CHILD = ("SPICE_USERINIT_DIR", "USERPROFILE")
_LOG_TAIL = 300


class Died(Exception):
    """The child ended in the middle of its work; the message says how."""


class TookTooLong(Exception):
    """The child did not answer in time."""


class Child:
    """A running child with a deck loaded.

    It runs in a session of its own, so that Ctrl-C reaches the parent alone, in an empty folder that is its home too.
    It is started as a fresh interpreter: forking after libngspice was used can hang, and daemonic workers may not have
    children of :mod:`multiprocessing`.

    Args:
        bench: what it holds.
        start_seconds: how long starting and loading may take.
        memory_bytes: of address space that it may take.

    Raises:
        InputError: ngspice refuses the deck or takes too long to load it.
        Died: it died before the deck was loaded.
        MissingError: there is no libngspice.
    """

    def __init__(self, bench: Bench, *, start_seconds: float, memory_bytes: int) -> None:
        self.owner = os.getpid()
        """The process that started it: a copy of it elsewhere, after a fork, must leave it alone."""
        self.evaluated = 0
        self._folder = tempfile.mkdtemp(prefix="sizewise-")
        ours, theirs = socket.socketpair()
        beat, lifeline = os.pipe()
        try:
            self._process = self._start(theirs.fileno(), beat, memory_bytes)
        except BaseException:
            ours.close()
            os.close(lifeline)
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        finally:
            theirs.close()
            os.close(beat)
        self._channel = Channel(ours)
        self._end = weakref.finalize(self, _end, self.owner, self._process, self._channel, lifeline, self._folder)
        self.version = self._load(bench, start_seconds)
        """Of ngspice: "39"."""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def send(self, message: object) -> None:
        """Hand it a message.

        Raises:
            Died: it is gone.
        """
        try:
            self._channel.send(message)
        except OSError:
            raise Died(self._obituary()) from None

    def receive(self, seconds: float | None) -> tuple[str, Any]:
        """Its next reply: a word and what goes with it.

        Raises:
            TookTooLong: none came in time.
            Died: it is gone.
        """
        try:
            reply: tuple[str, Any] = self._channel.receive(seconds)
        except TimeoutError:
            raise TookTooLong from None
        except (EOFError, OSError):
            raise Died(self._obituary()) from None
        return reply

    def kill(self) -> None:
        """End it, whatever it does, and remove its folder. Twice is as good as once."""
        self._end()

    def _start(self, channel: int, lifeline: int, memory_bytes: int) -> subprocess.Popen[bytes]:
        home = Path(self._folder, "home")
        home.mkdir()
        (home / ".spiceinit").write_text(_SPICEINIT)
        arguments = [str(value) for value in (channel, lifeline, os.getpid(), memory_bytes)]
        with Path(self._folder, "log").open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-W", "ignore", "-m", "circuits.ngspice", *arguments, self._folder],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=home,
                env=_environment(),
                pass_fds=(channel, lifeline),
                start_new_session=True,
            )

    def _load(self, bench: Bench, start_seconds: float) -> str:
        try:
            self.send(bench)
            word, reply = self.receive(start_seconds)
        except TookTooLong:
            self.kill()
            raise InputError(
                f"ngspice has not loaded the deck after {start_seconds:g} s",
                remedy="run `ngspice -n -b` on the deck by hand to see more",
            ) from None
        except BaseException:
            self.kill()
            raise
        if word == "ready":
            return str(reply)
        self.kill()
        raise reply if isinstance(reply, SizewiseError) else InputError(f"the simulator said {word!r} to a deck")

    def _obituary(self) -> str:
        """How it ended, with the last that it wrote."""
        try:
            status = self._process.wait(5)
        except subprocess.TimeoutExpired:
            return "it closed its channel"
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        with contextlib.suppress(OSError):
            tail = Path(self._folder, "log").read_bytes()[-_LOG_TAIL:].decode(errors="replace").strip()
            how += f"; it last wrote: {tail}" if tail else ""
        return how


def _environment() -> dict[str, str]:
    """Ours, with this package to be found and no threads in numpy."""
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_FOR_THE_CHILD}
    here = str(Path(__file__).resolve().parent.parent)
    paths = [here, *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    return environment | {"PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _end(owner: int, process: subprocess.Popen[bytes], channel: Channel, lifeline: int, folder: str) -> None:
    """Free what a child took; in a forked copy of the owner only the copies of its channels."""
    if os.getpid() == owner:
        process.kill()  # before its channel closes, so that a thread that waits for a reply sees an end
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
    channel.close()
    os.close(lifeline)
