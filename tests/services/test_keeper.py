"""Starting twice gives one server; a failed start shows its log; what is recorded is ended."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.services import keeper, processes
from tests.services.frame import HOST, ROOT, Launch, Room, ServiceError

LISTENS = """
import socket, sys, time
wire = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("hears", sys.argv[1], flush=True)
while True: wire.accept()[0].sendall(b"1.0")
"""
FORKS = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[2], sys.argv[1]])"
FAILS = "import sys; sys.exit('no space left on this device')"
SLEEPS = "import time; print('thinking', flush=True); time.sleep(60)"
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


@dataclass(frozen=True)
class Small:
    """A server of three lines of Python."""

    script: str = LISTENS
    words: Sequence[str] = ()
    why: str | None = None
    SECONDS: float = 20.0
    NAME: str = "small"
    TITLE: str = "Small"
    PORTS: dict[str, int] = field(default_factory=lambda: {"main": 18999, "other": 18998})

    def missing(self) -> str | None:
        return self.why

    def install(self) -> None:
        raise ServiceError("cannot be installed")

    def launches(self, room: Room) -> list[Launch]:
        return [Launch([sys.executable, "-c", self.script, str(room.port), *self.words])]

    def answer(self, room: Room) -> str:
        with socket.create_connection((HOST, room.port), timeout=2) as wire:
            return wire.recv(8).decode()


def test_many_at_once_start_one(tmp_path: Path) -> None:
    server = Small()
    with ThreadPoolExecutor(4) as pool:
        every = list(pool.map(lambda _: keeper.start(server, tmp_path), range(4)))
    try:
        assert len({now.processes for now in every}) == 1
        assert server.answer(every[0].room) == "1.0"
    finally:
        assert keeper.stop(server, tmp_path)
    assert not every[0].alive
    assert not keeper.stop(server, tmp_path)


def test_it_outlives_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from tests.services import keeper\n"
        "from tests.services.test_keeper import Small\n"
        "keeper.start(Small(), Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", script, tmp_path], cwd=ROOT, check=True)
    now = keeper.running(Small(), tmp_path)
    assert now is not None
    assert Small().answer(now.room) == "1.0"
    assert keeper.stop(Small(), tmp_path)
    assert not now.alive


def test_a_taken_port_is_replaced(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as other:
        server = Small(PORTS={"main": other.getsockname()[1], "other": other.getsockname()[1]})
        with keeper.private(server, tmp_path) as now:
            assert len({*now.room.ports.values(), *server.PORTS.values()}) == 3
            assert server.answer(now.room) == "1.0"


def test_the_environment_names_the_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server((HOST, 0)) as free:
        port = free.getsockname()[1]
    monkeypatch.setenv("LICHEN_SMALL_PORT", str(port))
    with keeper.private(Small(), tmp_path) as now:
        assert now.room.port == port


def test_a_killed_server_starts_again_on_its_ports(tmp_path: Path) -> None:
    with keeper.private(Small(), tmp_path) as first:
        processes.kill(first.processes)
        assert keeper.running(Small(), tmp_path) is None
        second = keeper.start(Small(), tmp_path)
        assert second.room == first.room
        assert Small().answer(second.room) == "1.0"


def test_what_a_server_forked_ends_with_it(tmp_path: Path) -> None:
    server = Small(script=FORKS, words=[LISTENS])
    with keeper.private(server, tmp_path) as now:
        assert now.memory > 2 * 2**20
    with pytest.raises(OSError, match="refused"):
        server.answer(now.room)


@pytest.mark.parametrize(
    ("script", "words"),
    [(FAILS, "ended while it started.*no space left"), (SLEEPS, "no answer in 1 s.*thinking")],
)
def test_a_start_that_fails_shows_the_log(tmp_path: Path, script: str, words: str) -> None:
    with pytest.raises(ServiceError, match=f"(?s)Small .*{words}"):
        keeper.start(Small(script=script, SECONDS=1.0), tmp_path)
    assert keeper.running(Small(), tmp_path) is None


def test_one_that_will_not_end_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PATIENCE", 0.3)
    with keeper.private(Small(script=DEAF + LISTENS), tmp_path) as now:
        pass
    assert not now.alive


def test_a_recycled_process_id_is_left_alone(tmp_path: Path) -> None:
    mine = processes.Process(os.getpid(), "1", 15)
    assert not mine.alive
    processes.end([mine])  # ends nothing: this test goes on


def test_what_the_machine_lacks_is_said(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="Small cannot start on this machine: no java"):
        keeper.start(Small(why="no java"), tmp_path)
