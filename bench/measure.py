"""Run commands as whole processes, in turn, and read what they cost from the system's accounts."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from bench.cases import LICHEN, Case, Side

Run = dict[str, object]


class CommandFailed(Exception):
    """A command of a case ended with an error."""


def turns(
    case: Case, start: Callable[[Side], Run], tell: Callable[[str], None]
) -> dict[str, list[Run]]:
    """Return the counted runs of each side. The sides take turns: A B A B …

    A machine that slows down for a while slows all of them down.
    """
    runs: dict[str, list[Run]] = {side.name: [] for side in case.sides}
    for number in range(case.warmup + case.repeat):
        counted = number >= case.warmup
        for side in case.sides:
            if side.once and (number or runs[side.name]):
                continue
            run = start(side)
            if counted or side.once:
                runs[side.name].append(run)
            said = "" if counted or side.once else "  (warm-up)"
            cost = f"{run['wall']:8.3f} s wall {run['cpu']:8.3f} s CPU {run['peak']:7.0f} MB"
            tell(f"  {side.name:12} {cost}{said}")
    return runs


def run(command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> Run:
    """Run a program, by its path, to its end; returns its cost and what it printed as JSON.

    The cost is `wall`, `cpu` (both s) and `peak` (MB).
    CPU covers the process and all descendants that it waited for; peak is the resident memory of
    the largest single one of them. Raises CommandFailed with the end of what it said.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        with tempfile.NamedTemporaryFile("r") as told:
            started = subprocess.run(
                [sys.executable, "-ISc", _ACCOUNTED, told.name, *command],
                cwd=folder,
                env=dict(environ),
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                check=False,
            )
            code, wall, cpu, peak = json.load(told) if not started.returncode else (127, 0, 0, 0)
        out.seek(0)
        said = out.read().decode(errors="replace")
        if code:
            err.seek(0)
            end = (said + err.read().decode(errors="replace"))[-3000:]
            raise CommandFailed(f"{' '.join(command)}\nended with {code}:\n{end}")
    return {"wall": wall, "cpu": cpu, "peak": peak / (1024 if _LINUX else 1024**2), **printed(said)}


# A process takes over, as its own peak, what its parent held when it was started. So a small
# process of its own starts the command, and reads the accounts.
_ACCOUNTED = """
import json, os, sys, time
told, program, *words = sys.argv[1:]
started = time.perf_counter()
_, status, used = os.wait4(os.posix_spawn(program, [program, *words], os.environ), 0)
wall = time.perf_counter() - started
code = os.waitstatus_to_exitcode(status)
with open(told, "w") as file:
    json.dump([code, wall, used.ru_utime + used.ru_stime, used.ru_maxrss], file)
"""
_LINUX = sys.platform != "darwin"


def printed(said: str) -> Run:
    """Return the JSON object on the last line of an output, {} where there is none.

    >>> printed("reading\\n{\\"rows\\": 3}\\n")
    {'rows': 3}
    """
    last = said.rstrip().rpartition("\n")[2]
    with contextlib.suppress(ValueError):
        if isinstance(found := json.loads(last), dict):
            return found
    return {}


def starter(programs: Mapping[str, Path], data: Path, here: Path) -> Callable[[Side], Run]:
    """Return what runs a side; `programs` has each environment's folder of programs."""

    def start(side: Side) -> Run:
        words = [word.format(data=data, here=here) for word in side.command]
        program, folder = programs[side.env] / words[0], Path(side.folder.format(data=data))
        return run([str(program), *words[1:]], folder, environment(side.env, programs[side.env]))

    return start


def environment(env: str, programs: Path) -> dict[str, str]:
    """Return the environment variables of a command: a peer sees nothing of Lichen's Python."""
    kept = {k: v for k, v in os.environ.items() if env == LICHEN or not k.startswith("PYTHON")}
    return kept | {"PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "DO_NOT_TRACK": "1"}
