"""Processes that outlive the one that started them, found again and ended by what was recorded."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.services.frame import Launch, as_account, run

PATIENCE = 10.0  # seconds for a process to end by itself before it is killed

# Python warns of a child that lives longer than the object that stands for it: ours are meant to.
_CHILDREN: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True)
class Process:
    """A process as it can be found again: its id alone may have been given to another."""

    pid: int
    born: str  # its start in clock ticks since boot
    ends_by: int  # number of a signal

    @property
    def alive(self) -> bool:
        return _born(self.pid) == self.born


def spawn(launch: Launch, folder: Path, log: int) -> Process:
    """Start a process in a session of its own; its output goes to the open file `log`."""
    # It outlives us and a Ctrl-C in our terminal, and its group can be ended by one recorded id.
    child = subprocess.Popen(
        as_account(launch.account, launch.argv),
        env={**os.environ, **launch.env},
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        start_new_session=True,
    )
    _CHILDREN.append(child)
    return Process(child.pid, _born(child.pid) or "", launch.ends_by)


def end(processes: Sequence[Process]) -> None:
    """End each process by its own signal, and kill what it leaves or what takes over PATIENCE."""
    everyone = _family(processes)
    for process in processes:
        if process.alive:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, process.ends_by)
    deadline = time.monotonic() + PATIENCE
    while any(process.alive for process in processes) and time.monotonic() < deadline:
        time.sleep(0.02)
    kill(everyone)


def kill(processes: Sequence[Process]) -> None:
    """Kill the processes and all that they started, at once, as a crash of the machine would."""
    everyone = _family(processes)
    for process in everyone:
        if process.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
    while any(process.alive for process in everyone):
        time.sleep(0.01)
    for child in _CHILDREN[:]:
        if child.poll() is not None:
            _CHILDREN.remove(child)


def memory(processes: Sequence[Process]) -> int:
    """Return the bytes of the processes and all that they started, shared pages counted once."""
    total = 0
    for process in _family(processes):
        with contextlib.suppress(OSError):
            rows = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(row.split()[1]) for row in rows if row.startswith("Pss:"))
    return total * 1024


def _family(processes: Sequence[Process]) -> list[Process]:
    """Return those of the processes that live, and their descendants."""
    family = {process.pid: process for process in processes if process.alive}
    grown = bool(family)
    while grown:
        young = {pid for pid, parent in _parents() if parent in family and pid not in family}
        born = {pid: _born(pid) for pid in young}
        family |= {pid: Process(pid, when, signal.SIGKILL) for pid, when in born.items() if when}
        grown = any(born.values())
    return list(family.values())


def _parents() -> list[tuple[int, int]]:
    rows = (line.split() for line in run(["ps", "-e", "-o", "pid=,ppid="]).splitlines())
    return [(int(pid), int(parent)) for pid, parent in rows]


def _born(pid: int) -> str | None:
    """Return when the process started, or None if it is gone or only waits to be reaped."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        # A zombie with more threads than itself (a killed Java) still holds its ports and files.
        gone = after_name[0] in "ZX" and len(list(Path(f"/proc/{pid}/task").iterdir())) <= 1
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if gone else after_name[19]
