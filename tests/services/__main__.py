"""Install, start, stop and list the servers: `python -m tests.services start [NAME …]`."""

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.services import keeper
from tests.services.frame import Server, ServiceError
from tests.services.registry import BY_NAME, SERVERS

Verb = Callable[[Server], str]


def install(server: Server) -> str:
    """Bring what the server needs, unless the machine has it."""
    if server.missing() is not None:
        server.install()
    why = server.missing()
    if why is not None:
        raise ServiceError(f"still missing after its installation: {why}")
    return "installed"


def start(server: Server) -> str:
    """Start the server unless the machine cannot, which is said and is no failure."""
    why = server.missing()
    if why is not None:
        return f"not on this machine: {why}"
    begun = time.monotonic()
    room = keeper.start(server).room
    return f"{room.address}  {server.answer(room)}  ({time.monotonic() - begun:.1f} s)"


def stop(server: Server) -> str:
    """End the server."""
    return "ended" if keeper.stop(server) else "was not running"


def status(server: Server) -> str:
    """Say where the server runs and how much memory it holds, or why it cannot start."""
    now = keeper.running(server)
    if now is None:
        why = server.missing()
        return "not running" if why is None else f"not on this machine: {why}"
    return f"{now.room.address}  {server.answer(now.room)}  {now.memory / 2**20:.0f} MiB"


VERBS: dict[str, Verb] = {"install": install, "start": start, "stop": stop, "status": status}


def main(words: Sequence[str]) -> int:
    """Carry out one verb for the named servers, or all; return 1 if one of them failed."""
    verb, *names = words or [""]
    unknown = [name for name in names if name not in BY_NAME]
    if verb not in VERBS or unknown:
        sys.stderr.write(
            f"usage: python -m tests.services {'|'.join(VERBS)} [{' '.join(BY_NAME)}]\n"
        )
        return 2
    servers = [BY_NAME[name] for name in names] or list(SERVERS)
    # Installers share locks (apt's, pip's cache) and print less when one follows the other.
    workers = 1 if verb == "install" else len(servers)
    with ThreadPoolExecutor(workers) as pool:
        answers = list(pool.map(lambda server: _told(VERBS[verb], server), servers))
    for server, (well, text) in zip(servers, answers, strict=True):
        sys.stdout.write(f"{server.TITLE:<12} {text if well else 'FAILED: ' + text}\n")
    return 0 if all(well for well, _ in answers) else 1


def _told(verb: Verb, server: Server) -> tuple[bool, str]:
    try:
        return True, verb(server)
    except ServiceError as error:
        return False, str(error)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
