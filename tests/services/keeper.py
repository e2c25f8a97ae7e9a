"""Starts, finds and ends the servers; the only place that knows their ports, locks and records.

A home holds NAME/ (data and log), NAME.json (what runs) and NAME.lock. Two processes that start
the same server in the same home at once get the same one. The common home is `.services/`; a test
that kills or restarts a server takes a home of its own.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import random
import shutil
import socket
import tempfile
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.services import processes
from tests.services.frame import HOST, ROOT, Room, Server, ServiceError
from tests.services.processes import Process

HOME = ROOT / ".services"


@dataclass(frozen=True)
class Running:
    """A server that was started in a home."""

    room: Room
    processes: tuple[Process, ...]

    @property
    def alive(self) -> bool:
        return bool(self.processes) and all(process.alive for process in self.processes)

    @property
    def memory(self) -> int:
        """Bytes that the server holds."""
        return processes.memory(self.processes)


def start(server: Server, home: Path = HOME) -> Running:
    """Start the server, or return the one that runs; raises ServiceError with its log's end."""
    with _alone(server, home):
        recorded = _recorded(server, home)
        if recorded is not None and recorded.alive:
            return recorded
        processes.end(recorded.processes if recorded else ())  # what is left of a broken one
        why = server.missing()
        if why is not None:
            raise ServiceError(f"{server.TITLE} cannot start on this machine: {why}")
        return _start(server, home, recorded)


def stop(server: Server, home: Path = HOME) -> bool:
    """End the server that was started in this home; return whether it ran."""
    with _alone(server, home):
        recorded = _recorded(server, home)
        ran = recorded is not None and recorded.alive
        processes.end(recorded.processes if recorded else ())
        _state(server, home).unlink(missing_ok=True)
        return ran


def running(server: Server, home: Path = HOME) -> Running | None:
    """Return the server that was started in this home if all its processes live."""
    recorded = _recorded(server, home)
    return recorded if recorded is not None and recorded.alive else None


@contextlib.contextmanager
def private(server: Server, home: Path) -> Iterator[Running]:
    """Start a server for one test alone, which may kill and restart it; ended and removed after."""
    now = start(server, home)
    try:
        yield now
    finally:
        stop(server, home)
        shutil.rmtree(now.room.folder)


def elsewhere(server: Server) -> Room | None:
    """Return a server that somebody else runs on the usual ports (compose.yaml), if it answers."""
    room = Room(server.NAME, HOME / server.NAME, _wanted(server))
    if not _taken(room.port):
        return None
    try:
        server.answer(room)
    except Exception:  # noqa: BLE001 - whatever listens there, it is not this server
        return None
    return room


def _start(server: Server, home: Path, before: Running | None) -> Running:
    room = _furnish(server, home, before)
    started: tuple[Process, ...] = ()
    launches = server.launches(room)
    with room.log.open("wb") as log:
        for launch in launches:
            started = (*started, processes.spawn(launch, room.folder, log.fileno()))
            # Recorded at once: a start that is itself killed leaves nothing that stop cannot end.
            _record(Running(room, started), home)
    now = Running(room, started)
    try:
        _await(server, now)
    except BaseException:
        processes.end(started)
        _state(server, home).unlink(missing_ok=True)
        raise
    return now


def _await(server: Server, now: Running) -> None:
    """Ask until the server answers; raises ServiceError when it ended or took too long."""
    deadline = time.monotonic() + server.SECONDS
    pause = 0.05
    while True:
        try:
            server.answer(now.room)
        except Exception as error:  # noqa: BLE001 - every kind of "not yet"
            last = f"{type(error).__name__}: {error}"
        else:
            return
        if not now.alive:
            raise _failed(server, now.room, "ended while it started")
        if time.monotonic() > deadline:
            raise _failed(server, now.room, f"gave no answer in {server.SECONDS:g} s ({last})")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)


def _failed(server: Server, room: Room, what: str) -> ServiceError:
    lines = room.log.read_text(errors="replace").splitlines()[-30:]
    end = "\n".join(f"    {line}" for line in lines) or "    (empty)"
    return ServiceError(f"{server.TITLE} {what}; the end of its log {room.log}:\n{end}")


def _furnish(server: Server, home: Path, before: Running | None) -> Room:
    """Make the server's folder and give it ports that nobody listens on, the last ones if free."""
    folder = home / server.NAME
    account = getattr(server, "ACCOUNT", None)
    if account and os.geteuid() == 0 and not _open_to_all(home):
        # The account could not reach its data below a private folder.
        mark = hashlib.sha256(str(home).encode()).hexdigest()[:12]
        folder = Path(tempfile.gettempdir()) / f"lichen-{server.NAME}-{mark}"
    folder.mkdir(parents=True, exist_ok=True)
    wanted = dict(before.room.ports) if before else _wanted(server)
    ports: dict[str, int] = {}
    for name, port in wanted.items():
        ports[name] = _free(ports.values()) if _taken(port) else port
    return Room(server.NAME, folder, ports)


def _open_to_all(folder: Path) -> bool:
    return all(each.stat().st_mode & 0o001 for each in (folder, *folder.parents))


def _wanted(server: Server) -> dict[str, int]:
    """Return the default ports, each replaced by LICHEN_NAME_PORT or LICHEN_NAME_WHICH_PORT."""
    wanted = {}
    for name, port in server.PORTS.items():
        middle = "" if name == "main" else f"_{name.upper()}"
        wanted[name] = int(os.environ.get(f"LICHEN_{server.NAME.upper()}{middle}_PORT", port))
    return wanted


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def _free(given: Collection[int]) -> int:
    """Return a free port below those that Linux gives to outgoing connections."""
    # Drawn, not the next one: two homes that look at the same moment must not find the same.
    others = random.SystemRandom().sample(range(20000, 32700), 100)
    return next(each for each in others if each not in given and not _taken(each))


@contextlib.contextmanager
def _alone(server: Server, home: Path) -> Iterator[None]:
    """Keep every other process from starting or stopping this server meanwhile."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / f"{server.NAME}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _state(server: Server, home: Path) -> Path:
    return home / f"{server.NAME}.json"


def _record(now: Running, home: Path) -> None:
    state = {
        "folder": str(now.room.folder),
        "ports": dict(now.room.ports),
        "processes": [asdict(process) for process in now.processes],
    }
    draft = home / f"{now.room.name}.draft"
    draft.write_text(json.dumps(state, indent=1))
    draft.replace(home / f"{now.room.name}.json")


def _recorded(server: Server, home: Path) -> Running | None:
    try:
        state = json.loads(_state(server, home).read_text())
    except FileNotFoundError:
        return None
    room = Room(server.NAME, Path(state["folder"]), state["ports"])
    return Running(room, tuple(Process(**process) for process in state["processes"]))
