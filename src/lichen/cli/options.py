"""What every verb takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from lichen.cli import Misuse
from lichen.cli.candidates import nodes, services, targets
from lichen.core.errors import LichenError

if TYPE_CHECKING:
    from lichen.core.time import Instant, Span
    from lichen.loop import Loop


@Parameter(name="*")
@dataclass(frozen=True)
class Options:
    """Where the project is, and how to answer."""

    folder: Annotated[Path, Parameter(name=("-C", "--folder"), help="The project's folder.")] = (
        Path()
    )
    target: Annotated[
        str, Parameter(name="--target", help="An environment of lichen.yml.", completer=targets)
    ] = "dev"
    json: Annotated[
        bool, Parameter(name="--json", negative=(), help="Answer with one JSON object.")
    ] = False
    debug: Annotated[
        bool, Parameter(name="--debug", negative=(), help="Show a traceback with an error.")
    ] = False

    def open(self) -> Loop:
        """Open the project."""
        from lichen.loop import open_loop

        return open_loop(self.folder, self.target)


USUAL = Options()

Node = Annotated[str, Parameter(completer=nodes)]
ServiceName = Annotated[str, Parameter(completer=services)]

Now = Annotated[
    str | None,
    Parameter(name="--now", help="The time that it is, such as 2013-12-01 or 2013-12-01T06:30Z."),
]


Full = Annotated[
    bool,
    Parameter(
        name="--full",
        negative=(),
        help="Make them again from nothing: all files are read, all rows built, models trained.",
    ),
]
From = Annotated[
    str | None,
    Parameter(name="--from", help="Read again the files with rows of this time or later."),
]
To = Annotated[str | None, Parameter(name="--to", help="… and before this time.")]


def stretch(begin: str | None, end: str | None) -> Span | None:
    """Return the time that --from and --to name; None where neither is given."""
    from lichen.core.time import Span

    if begin is None and end is None:
        return None
    return Span(moment(begin, "--from"), moment(end, "--to"))


def moment(text: str | None, option: str = "--now") -> Instant | None:
    """Return the time that an option names."""
    from lichen.core.time import instant

    if text is None:
        return None
    try:
        return instant(text)
    except LichenError as error:
        raise Misuse(f"{option}: {error.what}", allowed=error.allowed) from error
