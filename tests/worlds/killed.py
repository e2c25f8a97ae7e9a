"""A project that is run in a loop, while its source grows, by a process that is killed and killed.

    tally = killed(project, wire.put, kills=12)
    assert tally.in_flight >= 4

A kill falls within a commit where the ledger then holds an intent without an outcome. Two of
three kills wait for such an intent, and then for a moment or two.
"""

import itertools
import multiprocessing
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lichen.core.steps import Done, Land
from lichen.loop import Event, open_loop
from lichen.testing.project import SmallProject

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    ["lichen.loop", "lichen.adapters.delta", "lichen.adapters.duckdb", "lichen.stages.sources.run"]
)
_READY = 60.0  # seconds until a process landed something
_LONGEST, _COMMIT = 0.6, 0.03  # seconds from then to its kill; from the begin of a commit


@dataclass(frozen=True)
class Tally:
    """How many numbers were written, and how many of the kills fell within a commit."""

    written: int
    kills: int
    in_flight: int


def killed(
    project: SmallProject,
    put: Callable[[Sequence[int]], None],
    *,
    kills: int,
    piece: int = 40,
    pause: float = 0.05,
    seed: int = 7,
) -> Tally:
    """Kill a run in a loop so many times while numbers are written; then run to the end."""
    chance = random.Random(seed)
    in_flight = 0
    with _growing(put, piece, pause) as written:
        for nth in range(kills):
            within, after = nth % 3 > 0, chance.uniform(0.0, 1.0)
            in_flight += _kill(project.root, after, within_a_commit=within)
    _run_out(project.root)
    return Tally(written[0], kills, in_flight)


@contextmanager
def _growing(put: Callable[[Sequence[int]], None], piece: int, pause: float) -> Iterator[list[int]]:
    """Write numbers, piece by piece, until left; gives how many were written."""
    written, enough, failed = [0], threading.Event(), list[BaseException]()

    def write() -> None:
        try:
            for nth in itertools.count():
                put(range(nth * piece, (nth + 1) * piece))
                written[0] = (nth + 1) * piece
                if enough.wait(pause):
                    return
        except BaseException as error:
            failed.append(error)
            raise

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield written
    finally:
        enough.set()
        thread.join()
    assert not failed


def _kill(root: Path, after: float, *, within_a_commit: bool) -> bool:
    """Let a process run the project again and again; kill it a while after its first landing."""
    begun = root / "begun"
    begun.unlink(missing_ok=True)
    child = _PROCESSES.Process(target=_again_and_again, args=(root, begun))
    child.start()
    deadline = time.monotonic() + _READY
    while not begun.exists():
        assert child.is_alive(), "the run ended by itself"
        assert time.monotonic() < deadline, "the run landed nothing"
        time.sleep(0.005)
    if within_a_commit:
        state = open_loop(root).ledger.state
        while not state().open:
            assert time.monotonic() < deadline, "no commit was seen"
    time.sleep(after * (_COMMIT if within_a_commit else _LONGEST))
    assert child.is_alive(), "the run ended by itself"
    child.kill()
    child.join()
    return bool(open_loop(root).ledger.state().open)


def _again_and_again(root: Path, begun: Path) -> None:
    def report(event: Event) -> None:
        if isinstance(event.step, Land) and event.result is not None:
            assert isinstance(event.result, Done), event.result
            begun.touch()

    while True:
        loop = open_loop(root)
        loop.run(now=loop.clock(), report=report)


def _run_out(root: Path) -> None:
    loop = open_loop(root)
    loop.run()  # an intent that is left is finished at its own time
    for event in loop.run():
        assert isinstance(event.result, Done), event.result
