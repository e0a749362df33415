"""The line between a simulator child and its parent: whole messages over a socket.

``multiprocessing.connection.Connection`` would do, but asks the system four times a message and builds a selector for
each wait, which beside a simulation of a millisecond is seen; here a message costs one call, or none where it came
together with the one before.
"""

from __future__ import annotations

import pickle
import socket
import struct
from typing import Any

__all__ = ["Channel"]

_HEADER = struct.Struct("!Q")
_READ_BYTES = 1 << 16
_MOST_BYTES = 1 << 20


class Channel:
    """One end of the line.

    Args:
        end: a connected stream socket, which the channel then owns.
    """

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._received = bytearray()

    def send(self, message: object) -> None:
        """Hand over a message, as a pickle.

        Raises:
            OSError: the other end is gone.
        """
        body = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
        self._limit(None)
        self._socket.sendall(_HEADER.pack(len(body)) + body)

    def receive(self, seconds: float | None = None) -> Any:
        """The next message.

        Args:
            seconds: how long to wait for it, or for more of it; above 0; ``None``: for ever.

        Raises:
            TimeoutError: nothing came.
            EOFError: the other end was closed.
            OSError: the other end is gone.
        """
        self._limit(seconds)
        self._receive(_HEADER.size)
        size = _HEADER.size + _HEADER.unpack_from(self._received)[0]
        self._receive(size)
        with memoryview(self._received) as view:
            message = pickle.loads(view[_HEADER.size : size])
        del self._received[:size]
        return message

    def close(self) -> None:
        """Close this end; the other one sees it."""
        self._socket.close()

    def _limit(self, seconds: float | None) -> None:
        if self._socket.gettimeout() != seconds:
            self._socket.settimeout(seconds)

    def _receive(self, size: int) -> None:
        """Have at least so many bytes."""
        while len(self._received) < size:
            part = self._socket.recv(min(max(_READ_BYTES, size - len(self._received)), _MOST_BYTES))
            if not part:
                raise EOFError
            self._received += part
