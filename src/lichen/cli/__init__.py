"""The command line: one file per verb; what a verb needs is imported when it is called."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lichen.core.errors import LichenError

if TYPE_CHECKING:
    from cyclopts import App, CycloptsError

FINE, WRONG, MISUSED = 0, 1, 2  # exit codes
ROWS = 10  # what --rows shows where it is given no number

VERBS = {
    "init": "Write a new project from a shipped template.",
    "check": "Read the project and say what is wrong with it; touches nothing.",
    "plan": "Show what is due, why, and what is downstream of it; touches nothing.",
    "run": "Do what `plan` shows.",
    "watch": "Do what `run` does, again and again, as sources tell something new.",
    "show": "Show a node: version, schema, contract and quarantine, or a model's metrics.",
    "query": "Ask one SELECT of what is published.",
    "quarantine": "List what is held back, release it, or judge it again after a fix.",
    "test": "Run the tests of nodes: given rows in, expected rows out; touches nothing.",
    "diff": "Compare two targets, or two versions of a node.",
    "promote": "Publish in one target what was tried in another, without building it again.",
    "serve": "Answer over HTTP, as a process of its own, until it is told to end.",
    "predict": "Answer as a service would, in this process.",
    "why": "Say where a prediction, a node, a column or a row comes from.",
    "replay": "Replay history as live traffic through a service, over HTTP.",
    "doctor": "Find and mend what a crash or a power cut left.",
    "completion": "Print the script by which a shell completes verbs, options and nodes.",
    "schema": "Print the JSON Schemas of a project's files, or write them for an editor.",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code: 0 fine, 1 an error or a step that failed, 2 misuse."""
    from cyclopts import CycloptsError

    words = _counted(list(sys.argv[1:] if argv is None else argv))
    try:
        command, bound, _ = app().parse_args(words, print_error=False, exit_on_error=False)
    except CycloptsError as error:
        return _misused(error, words)
    # Of what is wrong with a user's SQL our own errors speak.
    logging.getLogger("sqlglot").setLevel(logging.ERROR)
    try:
        return int(command(*bound.args, **bound.kwargs) or FINE)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # whoever read the output has gone, and Python would complain of it
        return FINE
    except Exception as error:  # noqa: BLE001 - the border: nobody above could tell the user
        from lichen.cli.mistakes import tell

        tell(error, words)
        return MISUSED if isinstance(error, Misuse) else WRONG


def _counted(words: list[str]) -> list[str]:
    """Give `--rows` without a number its number.

    >>> _counted(["show", "sales", "--rows"])
    ['show', 'sales', '--rows=10']
    """
    following = [*words[1:], "-"]
    return [
        f"--rows={ROWS}" if word == "--rows" and after.startswith("-") else word
        for word, after in zip(words, following, strict=True)
    ]


class Misuse(LichenError):
    """The command line itself is wrong."""


def app() -> App:
    """Return the command line with its verbs, none of them imported yet."""
    from cyclopts import App

    from lichen import __version__

    found = App(
        name="lichen",
        help="Data engineering and machine learning as one system: one project folder, one "
        "lineage, from raw source to served prediction and back.",
        version=__version__,
        help_format="plaintext",
        result_action="return_value",
    )
    for verb, text in VERBS.items():
        found.command(f"lichen.cli.{verb}:{verb}", name=verb, help=text)
    return found


def _misused(error: CycloptsError, words: Sequence[str]) -> int:
    from lichen.cli.mistakes import tell

    verb = next((word for word in words if word in VERBS), None)
    hint = f"lichen {verb} --help" if verb else "lichen --help"
    tell(Misuse(str(error).strip().rstrip("."), hint=hint), words)
    return MISUSED
