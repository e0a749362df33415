"""The line between a simulator and its child: whole messages, in order, or a word on why there are none."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from circuits.channel import Channel


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, Channel]]:
    """A bare end to misbehave at, and the channel at the other."""
    bare, other = socket.socketpair()
    channel = Channel(other)
    yield bare, channel
    bare.close()
    channel.close()


@given(st.lists(st.binary(max_size=1000), max_size=20), st.integers(0, 3_000_000))
def test_messages_arrive_whole_and_in_order_whatever_their_size(small: list[bytes], size: int) -> None:
    messages = [*small, bytes(size), *small]
    one, other = (Channel(end) for end in socket.socketpair())
    sender = threading.Thread(target=lambda: [one.send(message) for message in messages])
    sender.start()
    assert [other.receive(30) for _ in messages] == messages
    sender.join()
    one.close()
    with pytest.raises(EOFError):
        other.receive(30)
    other.close()


def test_what_never_comes_is_waited_for_no_longer_than_told(ends: tuple[socket.socket, Channel]) -> None:
    bare, channel = ends
    with pytest.raises(TimeoutError):
        channel.receive(0.02)
    bare.sendall(struct.pack("!Q", 100) + b"half")
    with pytest.raises(TimeoutError):
        channel.receive(0.02)


def test_a_limit_of_one_message_is_not_that_of_the_next(ends: tuple[socket.socket, Channel]) -> None:
    bare, channel = ends
    with pytest.raises(TimeoutError):
        channel.receive(0.02)
    later = threading.Timer(0.2, lambda: Channel(bare).send("late"))
    later.start()
    assert channel.receive(None) == "late"
    later.join()


def test_an_end_in_the_middle_of_a_message_is_an_end(ends: tuple[socket.socket, Channel]) -> None:
    bare, channel = ends
    bare.sendall(struct.pack("!Q", 100) + b"half")
    bare.close()
    with pytest.raises(EOFError):
        channel.receive(30)
