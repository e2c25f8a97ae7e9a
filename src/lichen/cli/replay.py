"""`lichen replay`: history as live traffic through a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from lichen.cli.options import USUAL, Options, ServiceName, moment
from lichen.cli.page import counted, emit

if TYPE_CHECKING:
    from lichen.core.time import Instant
    from lichen.replay import Replayed

UNANSWERED = 5  # examples that are shown


def replay(
    service: ServiceName,
    *,
    begin: Annotated[str, Parameter(name="--from", help="The first moment.")],
    end: Annotated[str, Parameter(name="--to", help="The moment at which it ends.")],
    every: Annotated[str, Parameter(name="--every", help="How often sources are looked at.")] = (
        "3 hours"
    ),
    options: Options = USUAL,
) -> int:
    """Replay a stretch of time through a service of its own process, over HTTP.

    Nothing is asked or told before its time. Ends with 1 where a step failed or was blocked, or a
    question stayed without an answer.

    --json: {"from", "to", "ticks", "asked", "unanswered", "told", "trouble": [{"node", "state"}]}

    Parameters
    ----------
    service
        The service that is asked.
    """
    from lichen.core.time import duration, iso
    from lichen.replay import replay as through

    first, last = moment(begin), moment(end)
    assert first is not None and last is not None
    with _progress(first, last, quiet=options.json) as report:
        done = through(options.open(), service, first, last, duration(every), report)
    told = {
        "from": iso(first),
        "to": iso(last),
        "ticks": done.ticks,
        "asked": done.asked,
        "unanswered": len(done.unanswered),
        "told": done.told,
        "trouble": [_trouble(event) for event in done.trouble],
    }
    if options.json:
        emit(told)
    else:
        _tell(done)
    return 1 if done.trouble or done.unanswered else 0


def _trouble(event: Any) -> dict[str, str]:
    return {"node": event.step.node, "state": type(event.result).__name__.lower()}


def _tell(done: Replayed) -> None:
    print(
        f"{counted(done.asked, 'question')} asked over HTTP in {done.ticks} ticks, "
        f"{counted(done.told, 'outcome')} told"
    )
    if done.unanswered:
        print(f"{counted(len(done.unanswered), 'question')} without an answer, such as")
        for answer in done.unanswered[:UNANSWERED]:
            print(f"  {answer.get('key')}: {answer['error']}")
    for event in done.trouble:
        detail = getattr(event.result, "error", "") or "; ".join(
            finding.line() for finding in getattr(event.result, "findings", ())
        )
        print(f"{type(event.result).__name__.lower()} {event.step.node}: {detail}")


class _progress:
    """Shows how far the replay is: a bar in a terminal, a line a day elsewhere."""

    def __init__(self, first: Instant, last: Instant, *, quiet: bool) -> None:
        from lichen.cli.page import console

        self._first, self._last = first, last
        self._bar: Any = None
        self._quiet = quiet
        self._page = console()
        self._day: Any = None

    def __enter__(self) -> _progress:
        if self._page.is_terminal and not self._quiet:
            from rich.progress import Progress

            self._bar = Progress(console=self._page)
            self._task = self._bar.add_task("replay", total=1.0)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, now: Instant, done: Replayed) -> None:
        if self._quiet:
            return
        what = f"{now:%Y-%m-%d %H:%M}  {done.asked:,} asked, {done.told:,} outcomes told"
        if self._bar is not None:
            share = (now - self._first) / (self._last - self._first)
            self._bar.update(self._task, completed=share, description=what)
        elif now.date() != self._day:
            print(what, flush=True)
        self._day = now.date()
