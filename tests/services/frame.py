"""What a module in this folder offers, so that its server can be installed, started and asked.

A server module needs no base class. It has the names of `Server` below at its top level:

    NAME = "postgres"                      # word on the command line, folder below .services/
    TITLE = "PostgreSQL"                   # for people
    PORTS = {"main": 15432}                # default ports; taken ones are replaced by free ones
    SECONDS = 15.0                         # how long a start may take
    ACCOUNT = "postgres"                   # only if the server refuses root: who runs it then

    def missing() -> str | None: ...       # why this machine cannot start it; None: it can
    def install() -> None: ...             # make missing() None, by apt, go, pip or maven
    def launches(room: Room) -> list[Launch]: ...   # write its files, say what to run
    def answer(room: Room) -> str: ...     # ask it something real; raise until it can answer
"""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

HOST = "127.0.0.1"
USER = "lichen"
PASSWORD = "only-on-loopback"  # noqa: S105 - a fixed test value; the servers hear loopback only
DATABASE = "lichen"

ROOT = Path(__file__).resolve().parents[2]


class ServiceError(Exception):
    """A server could not be installed, started or stopped; the text says why and what next."""


@dataclass(frozen=True)
class Room:
    """Where one server lives: its folder, its log, and the ports that it was given."""

    name: str
    folder: Path
    ports: Mapping[str, int]

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @property
    def port(self) -> int:
        return self.ports["main"]

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"


@dataclass(frozen=True)
class Launch:
    """One process to start in the foreground: its output becomes the server's log."""

    argv: Sequence[str | Path]
    env: Mapping[str, str] = field(default_factory=dict)  # added to the caller's
    account: str | None = None  # who runs it when we are root; otherwise we do
    ends_by: signal.Signals = signal.SIGTERM


class Server(Protocol):
    """A module in this folder."""

    @property
    def NAME(self) -> str:
        """Its word on the command line, and its folder below .services/."""

    @property
    def TITLE(self) -> str:
        """Its name for people."""

    @property
    def PORTS(self) -> Mapping[str, int]:
        """Default ports; "main" is the one of its address. Taken ones are replaced."""

    @property
    def SECONDS(self) -> float:
        """How long a start may take."""

    def missing(self) -> str | None:
        """Why this machine cannot start the server, and what to do; None when it can."""

    def install(self) -> None:
        """Bring what `missing` names; raises ServiceError when that needs another person."""

    def launches(self, room: Room) -> list[Launch]:
        """Write what the server needs below room.folder and return the processes to start."""

    def answer(self, room: Room) -> str:
        """Return the version that the running server tells; raise while it cannot answer."""


def as_account(account: str | None, argv: Sequence[str | Path]) -> list[str]:
    """Return the command that runs argv as `account`; only root can and needs to change."""
    words = [str(word) for word in argv]
    if account is None or os.geteuid() != 0:
        return words
    return ["setpriv", f"--reuid={account}", f"--regid={account}", "--init-groups", "--", *words]


def run(
    argv: Sequence[str | Path],
    *,
    account: str | None = None,
    env: Mapping[str, str] | None = None,
    text: str = "",
    seconds: float = 600,
) -> str:
    """Run a command to its end and return what it printed; raises ServiceError with its words."""
    command = as_account(account, argv)
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(env or {})},
            input=text,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServiceError(f"{command[0]}: {error}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()[-2000:]
        raise ServiceError(f"{' '.join(command)[:200]} ended with {done.returncode}: {said}")
    return done.stdout


def give(folder: Path, account: str) -> None:
    """Hand a folder and all in it to the account that will run the server, if we are root."""
    if os.geteuid() == 0:
        run(["chown", "-R", f"{account}:", folder])
