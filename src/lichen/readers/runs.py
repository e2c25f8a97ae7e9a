"""Past runs: what each did, and the versions that it left for everybody to read."""

from __future__ import annotations

from typing import Any, NamedTuple

from lichen.core.errors import LedgerError
from lichen.core.time import Instant, iso
from lichen.ports.ledger import Record, Run
from lichen.readers.opened import Opened


class Past(NamedTuple):
    """What everybody could read after a run, and the time of that run."""

    records: dict[str, Record]
    now: Instant


def runs(opened: Opened, *, last: int | None = None) -> dict[str, Any]:
    """Return the runs, newest first."""
    if opened.state().clock is None:
        return {"runs": []}
    found = [_told(run) for run in reversed(opened.ledger.runs())]
    return {"runs": found[:last]}


def past(opened: Opened, id_: str) -> Past:
    """Return what was published after a run, by its id, the beginning of it, or a publication's
    number. Raises LedgerError for one that there is not."""
    known = opened.ledger.runs() if opened.state().clock is not None else ()
    numbers = [run.publication or 0 for run in known]
    if id_.isdecimal() and (int(id_) <= max(numbers, default=0) or len(id_) < _SHORTEST):
        number, now = _publication(opened, int(id_), known)
    else:
        run = _run(id_, known)
        before = known[: known.index(run) + 1]
        published = [each.publication for each in before if each.publication is not None]
        if not published:
            raise LedgerError(f"run {run.id} published nothing, and none did before it", hint=_HINT)
        number, now = published[-1], run.now
    publication = opened.ledger.publication(number)
    assert publication is not None
    return Past({n: opened.ledger.record(i) for n, i in publication.pins.items()}, now)


_SHORTEST = 4  # the beginning of a run's id is at least its year
_HINT = "lichen show --runs lists them"


def _run(id_: str, known: tuple[Run, ...]) -> Run:
    found = [run for run in known if run.id == id_] or [r for r in known if r.id.startswith(id_)]
    if len(found) == 1:
        return found[0]
    allowed = [run.id for run in (found or known)][-_MOST:]
    what = f"{id_!r} begins the ids of several runs" if found else f"there was no run {id_!r}"
    raise LedgerError(what, allowed=allowed, given=None if found else id_, hint=_HINT)


_MOST = 10


def _publication(opened: Opened, number: int, known: tuple[Run, ...]) -> tuple[int, Instant]:
    publication = opened.ledger.publication(number) if known else None
    if publication is None:
        numbers = [str(run.publication) for run in known if run.publication is not None]
        raise LedgerError(
            f"there was no publication {number}", allowed=numbers[-_MOST:], hint=_HINT
        )
    return number, publication.now


def _told(run: Run) -> dict[str, Any]:
    return {
        "id": run.id,
        "now": iso(run.now),
        "started": iso(run.started),
        "seconds": round((run.ended - run.started).total_seconds(), 3) if run.ended else None,
        "outcome": _outcome(run),
        "publication": run.publication,
        "steps": run.steps,
        "nodes": run.nodes,
    }


def _outcome(run: Run) -> str:
    if run.ended is None:
        return "running" if run.writes else "died"
    for state in ("failed", "blocked"):
        if state in run.nodes.values():
            return state
    return "done"
