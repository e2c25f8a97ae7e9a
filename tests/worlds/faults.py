"""A TCP proxy on loopback that cuts, stalls, slows or refuses what passes through it.

    with Proxy(server_port) as proxy:
        client.connect("127.0.0.1", proxy.port)
        proxy.cut()

A server that tells its clients another address to go to (Kafka's advertised listener, HDFS's
redirect to a DataNode) must tell the proxy's, or the client goes round it: `door` is a port that
the server was told beforehand.
"""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

HOST = "127.0.0.1"
CHUNK = 64 * 1024
TICK = 0.02  # seconds between two pieces when slow
WAKE = 0.1  # seconds after which a thread that waits for a peer looks whether it was cut


class Proxy:
    """Passes every connection on to a server, until told otherwise; a fault lasts until `heal`."""

    def __init__(self, port: int, host: str = HOST, *, door: int = 0) -> None:
        self.target = (host, port)
        self.accepted = 0  # connections, so that a test can show that its client came again
        self.to_server = 0  # bytes
        self.to_client = 0
        self._rate: float | None = None  # bytes per second, each way of each connection
        self._left: int | None = None  # bytes to the client before all is cut
        self._stalled = False
        self._changed = threading.Condition()
        self._wires: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._closed = False
        self._door: socket.socket | None = None
        self.port = self._listen(door)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def cut(self) -> None:
        """Reset all present connections, in the middle of whatever passes; new ones go through."""
        with self._changed:
            wires, self._wires = self._wires, set()
            self._changed.notify_all()
        for wire in wires:
            _reset(wire)

    def cut_after(self, size: int) -> None:
        """Reset all connections once: when more than `size` further bytes come for clients."""
        with self._changed:
            self._left = size

    def refuse(self) -> None:
        """Refuse new connections; present ones go on."""
        with self._changed:
            door, self._door = self._door, None
        if door is not None:
            # Closing alone would leave the port open for as long as a thread waits in accept.
            with contextlib.suppress(OSError):
                door.shutdown(socket.SHUT_RDWR)
            door.close()

    def stall(self) -> None:
        """Pass nothing more and close nothing: connections are half-open, new ones accepted."""
        with self._changed:
            self._stalled = True

    def slow(self, rate: float) -> None:
        """Pass `rate` bytes per second, each way of each connection."""
        with self._changed:
            self._rate = rate

    def heal(self) -> None:
        """End every fault: what was stalled goes on, what was refused is accepted again."""
        with self._changed:
            self._rate, self._left, self._stalled = None, None, False
            self._changed.notify_all()
            refusing = self._door is None and not self._closed
        if refusing:
            self._listen(self.port)

    def close(self) -> None:
        """Reset all connections and end."""
        with self._changed:
            self._closed = True
        self.refuse()
        self.heal()
        self.cut()
        for thread in self._threads:
            thread.join(5)

    def _listen(self, port: int) -> int:
        door = socket.create_server((HOST, port), backlog=128)
        given: int = door.getsockname()[1]
        with self._changed:
            self._door = door
        self._run(self._accept, door)
        return given

    def _run(self, work: Callable[..., None], *words: object) -> threading.Thread:
        thread = threading.Thread(target=work, args=words, daemon=True)
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self, door: socket.socket) -> None:
        while True:
            try:
                client, _ = door.accept()
            except OSError:  # refuse closed the door
                return
            with self._changed:
                self.accepted += 1
                self._wires.add(client)
            self._run(self._connect, client)

    def _connect(self, client: socket.socket) -> None:
        if not self._may_pass(client):
            return
        try:
            server = socket.create_connection(self.target, timeout=10)
        except OSError:
            _reset(client)
            return
        for wire in (client, server):
            wire.settimeout(WAKE)
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._changed:
            if client not in self._wires:  # cut meanwhile
                _reset(server)
                return
            self._wires.add(server)
        back = self._run(self._pass, server, client, True)
        self._pass(client, server, False)
        back.join()
        with self._changed:
            self._wires -= {client, server}
        client.close()
        server.close()

    def _pass(self, source: socket.socket, sink: socket.socket, to_client: bool) -> None:
        """Pass bytes one way until an end closes or the connection is cut."""
        try:
            while data := self._received(source):
                while data and self._may_pass(sink):
                    size = self._piece(to_client)
                    if size == 0:
                        self.cut()
                        return
                    sent = self._sent(sink, data[:size])
                    self._count(sent, to_client)
                    data = data[sent:]
            # A cut ends the waiting for bytes too; only an end of the source's own is passed on.
            if self._may_pass(source):
                sink.shutdown(socket.SHUT_WR)
        except OSError:  # reset by an end, or by cut
            for wire in (source, sink):
                _reset(wire)

    def _received(self, wire: socket.socket) -> bytes:
        while True:
            with contextlib.suppress(TimeoutError):
                return wire.recv(CHUNK)

    def _sent(self, wire: socket.socket, piece: bytes) -> int:
        try:
            return wire.send(piece)
        except TimeoutError:  # its reader does not read; time to look whether all was cut
            return 0

    def _may_pass(self, wire: socket.socket) -> bool:
        """Wait while stalled; return whether the connection is still there."""
        with self._changed:
            self._changed.wait_for(lambda: not self._stalled or wire not in self._wires)
            return wire in self._wires

    def _piece(self, to_client: bool) -> int:
        """Return how many bytes may pass next; 0: it is time to cut, which happens once."""
        with self._changed:
            size = CHUNK if self._rate is None else max(1, int(self._rate * TICK))
            if not to_client or self._left is None:
                return size
            if self._left <= 0:
                self._left = None
                return 0
            return min(size, self._left)

    def _count(self, size: int, to_client: bool) -> None:
        with self._changed:
            if to_client:
                self.to_client += size
                self._left = self._left - size if self._left is not None else None
            else:
                self.to_server += size
            until = time.monotonic() + (size / self._rate if self._rate else 0.0)
            while self._rate is not None and (rest := until - time.monotonic()) > 0:
                self._changed.wait(rest)


def _reset(wire: socket.socket) -> None:
    """Close so that the other end sees a reset, as when a machine or a route is gone."""
    with contextlib.suppress(OSError):
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        wire.shutdown(socket.SHUT_RD)  # wakes a thread that waits in recv, and sends nothing
    wire.close()
