"""Starts, finds and ends the servers; the only place that knows processes, ports and locks.

Everything lies below `.services/` in the repository: NAME/ (data and log), NAME.json (what runs)
and NAME.lock. Two processes that start the same server at once get the same one.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.services.frame import (
    HOST,
    ROOT,
    Launch,
    Room,
    Server,
    ServiceError,
    as_account,
    run,
)

HOME = ROOT / ".services"
PATIENCE = 10.0  # seconds for a server to end by itself before it is killed


@dataclass(frozen=True)
class Process:
    """A process as it can be found again: a process id alone may have been given to another."""

    pid: int
    born: str  # its start in clock ticks since boot
    ends_by: int

    @property
    def alive(self) -> bool:
        return _born(self.pid) == self.born


@dataclass(frozen=True)
class Running:
    """A server that was started here."""

    room: Room
    processes: tuple[Process, ...]

    @property
    def alive(self) -> bool:
        return all(process.alive for process in self.processes)

    @property
    def memory(self) -> int:
        """Resident bytes of the server's process groups."""
        return sum(_resident(process.pid) for process in self.processes)


def start(server: Server) -> Running:
    """Start the server, or return the one that runs; raises ServiceError with its log's end."""
    with _alone(server.NAME):
        found = running(server)
        if found is not None:
            return found
        stop_processes(_recorded(server.NAME))
        why = server.missing()
        if why is not None:
            raise ServiceError(f"{server.TITLE} cannot start on this machine: {why}")
        return _start(server)


def stop(server: Server) -> bool:
    """End the server that was started here; return whether there was one."""
    with _alone(server.NAME):
        recorded = _recorded(server.NAME)
        stop_processes(recorded)
        _state(server.NAME).unlink(missing_ok=True)
        return recorded is not None and bool(recorded.processes)


def running(server: Server) -> Running | None:
    """Return the server that was started here if all its processes live."""
    recorded = _recorded(server.NAME)
    return recorded if recorded is not None and recorded.alive else None


def elsewhere(server: Server) -> Room | None:
    """Return a server that somebody else runs on the ports of compose.yaml, if it answers."""
    room = Room(server.NAME, HOME / server.NAME, _wanted(server))
    if not all(_taken(port) for port in list(room.ports.values())[:1]):
        return None
    try:
        server.answer(room)
    except Exception:  # noqa: BLE001 - whatever listens there, it is not this server
        return None
    return room


def _start(server: Server) -> Running:
    room = _furnish(server)
    launches = server.launches(room)
    processes: list[Process] = []
    children: list[subprocess.Popen[bytes]] = []
    with room.log.open("wb") as log:
        for launch in launches:
            child = _spawn(launch, log.fileno(), room)
            children.append(child)
            processes.append(Process(child.pid, _born(child.pid) or "", launch.ends_by))
            # Written at once: a start that is itself killed leaves nothing that stop cannot end.
            _record(Running(room, tuple(processes)))
    now = Running(room, tuple(processes))
    try:
        _await(server, room, children)
    except BaseException:
        stop_processes(now)
        _state(server.NAME).unlink(missing_ok=True)
        raise
    return now


def _spawn(launch: Launch, log: int, room: Room) -> subprocess.Popen[bytes]:
    # A session of its own: the server outlives this process and a Ctrl-C in its terminal, and
    # its whole process group can be ended by the one id that was recorded.
    return subprocess.Popen(
        as_account(launch.account, launch.argv),
        env={**os.environ, **launch.env},
        cwd=room.folder,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )


def _await(server: Server, room: Room, children: list[subprocess.Popen[bytes]]) -> None:
    """Ask until the server answers; raises ServiceError when it ended or took too long."""
    deadline = time.monotonic() + server.SECONDS
    pause = 0.05
    while True:
        try:
            server.answer(room)
        except Exception as error:  # noqa: BLE001 - every kind of "not yet"
            last = f"{type(error).__name__}: {error}"
        else:
            return
        ended = [child.returncode for child in children if child.poll() is not None]
        if ended:
            raise _failed(server, room, f"ended with {ended[0]} while it started")
        if time.monotonic() > deadline:
            raise _failed(server, room, f"no answer within {server.SECONDS:g} s ({last})")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)


def _failed(server: Server, room: Room, what: str) -> ServiceError:
    lines = room.log.read_text(errors="replace").splitlines()[-30:]
    end = "\n".join(f"    {line}" for line in lines) or "    (empty)"
    return ServiceError(f"{server.TITLE} {what}; the end of its log {room.log}:\n{end}")


def stop_processes(recorded: Running | None) -> None:
    """End each process group by its own signal, and kill what has not gone after PATIENCE."""
    alive = [process for process in recorded.processes if process.alive] if recorded else []
    for process in alive:
        _signal(process, signal.Signals(process.ends_by))
    deadline = time.monotonic() + PATIENCE
    while any(process.alive for process in alive) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in alive:
        _signal(process, signal.SIGKILL)  # also what the leader left behind in its group


def _signal(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _furnish(server: Server) -> Room:
    """Make the server's folder and give it ports that nobody listens on."""
    folder = HOME / server.NAME
    if os.geteuid() == 0 and not _open_to_all(HOME):
        # The account that runs the server could not reach its data below a private checkout.
        mark = hashlib.sha256(str(ROOT).encode()).hexdigest()[:8]
        folder = Path(tempfile.gettempdir()) / f"lichen-services-{mark}" / server.NAME
    folder.mkdir(parents=True, exist_ok=True)
    ports = {name: _free(port) if _taken(port) else port for name, port in _wanted(server).items()}
    return Room(server.NAME, folder, ports)


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


def _free(port: int) -> int:
    """Return the next free port above `port`: below the range that outgoing connections take."""
    return next(each for each in range(port + 100, port + 5000, 100) if not _taken(each))


def _open_to_all(folder: Path) -> bool:
    folder.mkdir(parents=True, exist_ok=True)
    return all(each.stat().st_mode & 0o001 for each in (folder, *folder.parents))


@contextlib.contextmanager
def _alone(name: str) -> Iterator[None]:
    """Keep every other process from starting or stopping this server meanwhile."""
    HOME.mkdir(parents=True, exist_ok=True)
    with (HOME / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _state(name: str) -> Path:
    return HOME / f"{name}.json"


def _record(now: Running) -> None:
    state = {
        "folder": str(now.room.folder),
        "ports": dict(now.room.ports),
        "processes": [asdict(process) for process in now.processes],
    }
    draft = _state(now.room.name).with_suffix(".draft")
    draft.write_text(json.dumps(state, indent=1))
    draft.replace(_state(now.room.name))


def _recorded(name: str) -> Running | None:
    try:
        state = json.loads(_state(name).read_text())
    except FileNotFoundError:
        return None
    room = Room(name, Path(state["folder"]), state["ports"])
    return Running(room, tuple(Process(**process) for process in state["processes"]))


def _born(pid: int) -> str | None:
    """Return when the process started, or None if it is gone or only waits to be reaped."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if after_name[0] in "ZX" else after_name[19]


def _resident(leader: int) -> int:
    """Return the proportional memory in bytes of all processes in the leader's group."""
    total = 0
    for line in run(["ps", "-e", "-o", "pid=,pgid="]).splitlines():
        pid, group = line.split()
        if int(group) == leader:
            with contextlib.suppress(OSError):
                rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                total += sum(int(row.split()[1]) for row in rollup if row.startswith("Pss:"))
    return total * 1024
