"""The proxy passes bytes unchanged, and each fault is what its name says, until it is healed."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from faults import HOST, Proxy


@pytest.fixture
def echo() -> Iterator[int]:
    """The port of a server that sends back what it gets."""
    door = socket.create_server((HOST, 0))

    def answer(wire: socket.socket) -> None:
        try:
            with wire:
                while data := wire.recv(65536):
                    wire.sendall(data)
        except OSError:
            pass

    def serve() -> None:
        while True:
            try:
                wire, _ = door.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(wire,), daemon=True).start()

    waiter = threading.Thread(target=serve, daemon=True)
    waiter.start()
    yield door.getsockname()[1]
    door.shutdown(socket.SHUT_RDWR)
    door.close()
    waiter.join(5)


@pytest.fixture
def proxy(echo: int) -> Iterator[Proxy]:
    with Proxy(echo) as proxy:
        yield proxy


def client(proxy: Proxy, seconds: float = 5) -> socket.socket:
    return socket.create_connection((HOST, proxy.port), timeout=seconds)


def exactly(wire: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size:
        more = wire.recv(size - len(read))
        if not more:
            break
        read += more
    return read


def said(wire: socket.socket, data: bytes) -> bytes:
    wire.sendall(data)
    return exactly(wire, len(data))


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_bytes_pass_unchanged(proxy: Proxy) -> None:
    data = os.urandom(1_000_000)
    with client(proxy) as wire:
        sender = threading.Thread(target=wire.sendall, args=(data,))
        sender.start()
        assert exactly(wire, len(data)) == data
        sender.join()
        wire.shutdown(socket.SHUT_WR)
        assert wire.recv(1) == b""  # the end passes too
    assert (proxy.accepted, proxy.to_server, proxy.to_client) == (1, len(data), len(data))


def test_cut_resets_what_is_open_and_lets_new_ones_in(proxy: Proxy) -> None:
    with client(proxy) as wire:
        assert said(wire, b"a") == b"a"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            wire.recv(1)
    with client(proxy) as wire:
        assert said(wire, b"b") == b"b"
    assert proxy.accepted == 2


def test_cut_after_cuts_once_and_to_the_byte(proxy: Proxy) -> None:
    proxy.cut_after(10)
    with client(proxy) as wire:
        assert said(wire, b"x" * 7) == b"x" * 7
        wire.sendall(b"y" * 100)
        with pytest.raises(ConnectionResetError):
            while wire.recv(100):
                pass
    assert proxy.to_client == 10
    with client(proxy) as wire:
        assert said(wire, b"x" * 100) == b"x" * 100


def test_what_has_ended_holds_nothing(proxy: Proxy) -> None:
    before = open_files()
    for _ in range(20):
        with client(proxy) as wire:
            assert said(wire, b"a") == b"a"
    deadline = time.monotonic() + 5
    while open_files() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert open_files() <= before


def test_refuse_keeps_what_is_open(proxy: Proxy) -> None:
    with client(proxy) as wire:
        assert said(wire, b"a") == b"a"
        proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            client(proxy)
        assert said(wire, b"b") == b"b"
        proxy.heal()
        with client(proxy) as other:
            assert said(other, b"c") == b"c"


def test_stall_is_half_open_until_healed(proxy: Proxy) -> None:
    with client(proxy, 0.2) as old:
        assert said(old, b"a") == b"a"
        proxy.stall()
        old.sendall(b"b")
        with client(proxy, 0.2) as new:  # accepted, and then nothing
            new.sendall(b"c")
            for wire in (old, new):
                with pytest.raises(TimeoutError):
                    wire.recv(1)
            proxy.heal()
            old.settimeout(5)
            new.settimeout(5)
            assert (old.recv(1), new.recv(1)) == (b"b", b"c")


def test_a_stalled_connection_can_be_cut(proxy: Proxy) -> None:
    with client(proxy) as wire:
        proxy.stall()
        wire.sendall(b"a")
        time.sleep(0.05)
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            wire.recv(1)


def test_slow_keeps_to_its_rate(proxy: Proxy) -> None:
    with client(proxy) as wire:
        assert said(wire, b"a") == b"a"
        proxy.slow(20_000)
        begun = time.monotonic()
        wire.sendall(b"x" * 10_000)
        assert exactly(wire, 10_000) == b"x" * 10_000
        assert 0.4 <= time.monotonic() - begun < 3
        proxy.heal()
        begun = time.monotonic()
        assert said(wire, b"y" * 40_000) == b"y" * 40_000  # 2 s at the rate that is over
        assert time.monotonic() - begun < 1.5


def test_a_server_that_is_gone_resets_the_client() -> None:
    with socket.create_server((HOST, 0)) as door:
        nobody = door.getsockname()[1]
    with Proxy(nobody) as proxy, client(proxy) as wire, pytest.raises(ConnectionResetError):
        wire.recv(1)


def test_cut_reaches_a_client_that_does_not_read(proxy: Proxy) -> None:
    with client(proxy) as wire:
        with pytest.raises(TimeoutError):  # every buffer on the way is full
            wire.settimeout(0.3)
            wire.sendall(b"x" * 50_000_000)
        proxy.cut()
        wire.settimeout(5)
        with pytest.raises(ConnectionError):
            wire.sendall(b"x" * 50_000_000)
