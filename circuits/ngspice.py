"""The child program that holds one deck: ``python -m circuits.ngspice``; the only import of PySpice.

A simulation that never ends, a fault inside ngspice and its leaks must not reach the program that optimises, so
libngspice lives in a process of its own, started and ended by :mod:`circuits.simulator`. The channel is a socket of its
own: models print to standard output, which goes to a bounded log. The child ends with its parent, however that dies and
whatever ngspice does meanwhile: a thread waits on a pipe that only the parent holds open (PR_SET_PDEATHSIG would fire
when the *thread* that started the child ends).
"""

from __future__ import annotations

import os
import re
import resource
import select
import shutil
import signal
import socket
import sys
import threading
from collections.abc import Mapping
from typing import Any

import numpy as np

from automl_core.errors import EvaluationError, InputError, MissingError, SizewiseError
from circuits.bench import Array, Bench
from circuits.channel import Channel
from circuits.loaded_deck import LibraryGone, LoadedDeck

__all__ = ["Library", "main"]

_NAMES = ("libngspice.so.0", "libngspice.so", "libngspice.dylib", "libngspice.0.dylib")
_FOLDERS = (
    "",  # wherever the loader looks: Debian, Fedora
    "/usr/lib64/",
    "/opt/homebrew/lib/",
    "/usr/local/lib/",
    "/usr/local/opt/libngspice/lib/",
    "/home/linuxbrew/.linuxbrew/lib/",
)
_FILE_BYTES = 8 << 20
_MESSAGES = 100_000
_COMPLEX: np.dtype[np.complex128] = np.dtype(np.complex128)
_REAL: np.dtype[np.float64] = np.dtype(np.float64)


class Library:
    """libngspice in this process: commands, vectors and what it says.

    Commands go straight to ``ngSpice_Command`` and vectors come straight from ``ngGet_Vec_Info``, through PySpice's
    handle. PySpice's own wrappers raise at every line of standard error that is not a warning, though the data are
    valid, and cost as much as a small simulation.

    Args:
        settings: commands run before a deck is loaded.

    Raises:
        MissingError: there is no libngspice.
    """

    def __init__(self, settings: tuple[str, ...] = ()) -> None:
        from PySpice.Spice.NgSpice import Shared

        self._ffi = Shared.ffi
        self.messages: list[bytes] = []
        """What ngspice wrote since someone last cleared it: b"stderr Error: ..." or b"stdout ..."."""
        self.gone = False
        """ngspice asked to be unloaded: after an undefined parameter, for one."""
        os.environ["NGSPICE_LIBRARY_PATH"] = self.path = find_library(self._ffi)
        self._handle = _shared(Shared, self)
        self._api = self._handle._ngspice_shared
        found = re.search(rb"ngspice-(\S+)", b" ".join(self.messages))
        self.version = found[1].decode() if found else "unknown"
        for setting in settings:
            self.command(setting.encode())
        self.messages.clear()

    def said(self, since: int = 0) -> bytes:
        """All that ngspice wrote from one message on, to look for words in."""
        return b"\n".join(self.messages[since:])

    def load(self, lines: list[str]) -> None:
        """Load a deck; what it says about it is in :attr:`messages`."""
        kept = [self._ffi.new("char[]", line.encode()) for line in [*lines, ""]]
        self._api.ngSpice_Circ(self._ffi.new("char*[]", [*kept, self._ffi.NULL]))

    def command(self, line: bytes) -> None:
        """Run a command. Its return code says nothing, so none is given: look at what it should have made.

        Raises:
            LibraryGone: ngspice cannot go on in this process.
        """
        self._api.ngSpice_Command(line)
        if self.gone:
            raise LibraryGone

    def forget(self) -> None:
        """Free the plots and the history of commands, so that memory stays flat."""
        self.command(b"destroy all")
        self._api.ngSpice_Command(self._ffi.NULL)

    def plot(self) -> bytes:
        """The name of the current plot: b"ac1"; b"const" where none was made."""
        name: bytes = self._ffi.string(self._api.ngSpice_CurPlot())
        return name

    def plots(self) -> list[bytes]:
        """The names of all plots, the newest first."""
        return self._strings(self._api.ngSpice_AllPlots())

    def names(self, plot: bytes) -> list[bytes]:
        """The names of the vectors in a plot: b"out", b"vdd#branch", b"V(1)", b"frequency"."""
        return self._strings(self._api.ngSpice_AllVecs(plot))

    def vector(self, name: bytes) -> Array | None:
        """A copy of a vector, shape (n,); None where there is none.

        Args:
            name: b"ac1.out". A name as listed by :meth:`names` costs 1 µs; an expression such as b"v(out)" costs 6.
        """
        info = self._api.ngGet_Vec_Info(name)
        if info == self._ffi.NULL:
            return None
        if info.v_compdata != self._ffi.NULL:
            return np.frombuffer(bytearray(self._ffi.buffer(info.v_compdata, info.v_length * 16)), _COMPLEX)
        return np.frombuffer(bytearray(self._ffi.buffer(info.v_realdata, info.v_length * 8)), _REAL)

    def scalar(self, name: bytes) -> float | None:
        """The last value of a vector, its real part; None where there is none."""
        info = self._api.ngGet_Vec_Info(name)
        if info == self._ffi.NULL or info.v_length < 1:
            return None
        if info.v_compdata != self._ffi.NULL:
            return float(info.v_compdata[info.v_length - 1].cx_real)
        return float(info.v_realdata[info.v_length - 1])

    def _strings(self, array: Any) -> list[bytes]:
        found: list[bytes] = []
        while array[len(found)] != self._ffi.NULL:
            found.append(self._ffi.string(array[len(found)]))
        return found


def _shared(module: Any, library: Library) -> Any:
    """An instance of PySpice's class whose callbacks only collect: what they raise would be lost in C."""
    ffi, messages = module.ffi, library.messages

    class Shared(module.NgSpiceShared):  # type: ignore[misc]
        @staticmethod
        def _send_char(message: Any, identifier: int, user_data: Any) -> int:
            if len(messages) < _MESSAGES:
                messages.append(ffi.string(message))
            return 0

        @staticmethod
        def _exit(status: int, immediate: bool, quitting: bool, identifier: int, user_data: Any) -> int:
            library.gone = True
            return status

        def _init_ngspice(self, send_data: bool) -> None:
            """Of the callbacks only these two: progress, data and threads are not wanted."""
            self._callbacks = (
                ffi.callback("int (char *, int, void *)", self._send_char),
                ffi.callback("int (int, bool, bool, int, void *)", self._exit),
            )
            say, leave = self._callbacks
            null = ffi.NULL
            self._ngspice_shared.ngSpice_Init(say, null, leave, null, null, null, null)

    Shared.LIBRARY_PATH = library.path
    return Shared()


def find_library(ffi: Any) -> str:
    """The path or the name by which libngspice loads.

    PySpice asks for ``libngspice.so``, which on Debian only the -dev package holds.

    Raises:
        MissingError: it is nowhere, or not where NGSPICE_LIBRARY_PATH says.
    """
    told = os.environ.get("NGSPICE_LIBRARY_PATH")
    candidates = [told] if told else [folder + name for folder in _FOLDERS for name in _NAMES]
    for candidate in candidates:
        try:
            ffi.dlopen(candidate)
        except OSError:
            continue
        return candidate
    if told:
        raise MissingError(
            f"libngspice does not load from {told!r}",
            place="NGSPICE_LIBRARY_PATH",
            remedy="unset it, or name the library's file",
        )
    raise MissingError(
        "libngspice is not installed",
        remedy="apt-get install libngspice0 (Debian, Ubuntu), dnf install libngspice (Fedora), brew install libngspice",
    )


def _settings(bench: Bench) -> tuple[str, ...]:
    """What is set before the deck is loaded.

    Without ``num_threads=1`` the threads of BSIM models wait in circles on a small machine; without ``ng_nomodcheck``
    the models write a report file at every setup.
    """
    compat = (f"set ngbehavior={bench.compat}",) if bench.compat else ()
    return ("set num_threads=1", "set ng_nomodcheck", *compat)


def _follow_parent(lifeline: int, parent: int, folder: str) -> None:
    """End this process, whatever it does, as soon as its parent is gone."""
    poll = select.poll()
    poll.register(lifeline, select.POLLIN | select.POLLHUP)
    while not poll.poll(1000) and os.getppid() == parent:
        pass
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def _limit(memory_bytes: int) -> None:
    """Bound what a deck can take: files, memory, core dumps."""
    wanted = ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, _FILE_BYTES), (resource.RLIMIT_AS, memory_bytes))
    for kind, size in wanted:
        hard = resource.getrlimit(kind)[1]
        size = size if hard == resource.RLIM_INFINITY else min(size, hard)
        try:
            resource.setrlimit(kind, (size, hard))
        except (ValueError, OSError):  # macOS refuses some
            continue


def _serve(channel: Channel) -> int:
    """Load the deck that comes first, then answer chunks of points, one reply a point, until the channel closes."""
    bench: Bench = channel.receive()
    try:
        deck = LoadedDeck(Library(_settings(bench)), bench)
    except SizewiseError as error:
        channel.send(("refused", error))
        return error.exit_status
    channel.send(("ready", deck.library.version))
    try:
        while True:
            points, observe, waveforms = channel.receive()
            for point in points:
                reply = _reply(deck, point, observe, waveforms)
                channel.send(reply)
                if reply[0] == "lost":
                    return 0
                deck.settle()  # while the parent reads the reply
    except LibraryGone:
        return 0


def _reply(
    deck: LoadedDeck, point: Mapping[str, float], observe: bool, waveforms: Mapping[str, tuple[str, ...]]
) -> tuple[str, object]:
    """A point's answer: a word, and the fields of a reading or an error."""
    try:
        return "reading", tuple(deck.evaluate(point, observe=observe, waveforms=waveforms))
    except LibraryGone:
        return "lost", EvaluationError(deck.words() or "ngspice gave up")
    except InputError as error:
        return "refused", error
    except EvaluationError as error:
        return "failed", error


def main() -> int:
    """Run the child; its arguments are set by :mod:`circuits.child`."""
    channel, lifeline, parent, memory_bytes = (int(word) for word in sys.argv[1:5])
    folder = sys.argv[5]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_follow_parent, args=(lifeline, parent, folder), daemon=True).start()
    _limit(memory_bytes)
    np.seterr(all="ignore")  # a division by zero is told by its figure; to ask numpy each time costs 14 µs
    os.environ["HOME"] = os.getcwd()  # only now: Python itself may need the real one for its packages
    try:
        return _serve(Channel(socket.socket(fileno=channel)))
    except (EOFError, OSError):  # the parent is gone; its follower would be cut off in its work by this end
        shutil.rmtree(folder, ignore_errors=True)
        return 0


if __name__ == "__main__":
    sys.exit(main())
