"""Which paths a glob means, where no file system is there to be asked."""

from __future__ import annotations

import re

_PART = re.compile(r"\*\*/|\*\*|\*|\?|\[!?\]?[^\]]*\]|[^*?\[]+|\[")


def pattern(glob: str) -> re.Pattern[str]:
    """Return what matches a whole path; `**` stands for any number of folders.

    >>> match = pattern("in/**/a?[0-9].csv").fullmatch
    >>> bool(match("in/ab1.csv")), bool(match("in/x/y/ab1.csv")), bool(match("in/a/1.csv"))
    (True, True, False)
    """
    return re.compile("".join(map(_regex, _PART.findall(glob))), re.DOTALL)


def plain_part(glob: str) -> str:
    """Return the folder, with its slash, below which all matches lie.

    >>> plain_part("in/2024/*/a.csv"), plain_part("in/a.csv"), plain_part("*.csv")
    ('in/2024/', 'in/', '')
    """
    plain = re.split(r"[*?\[]", glob, maxsplit=1)[0]
    return plain[: plain.rfind("/") + 1]


def is_glob(path: str) -> bool:
    """Return whether a path stands for more than itself."""
    return any(mark in path for mark in "*?[")


def _regex(part: str) -> str:
    match part:
        case "**/":
            return "(?:[^/]+/)*"
        case "**":
            return ".*"
        case "*":
            return "[^/]*"
        case "?":
            return "[^/]"
        case _ if part.startswith("[") and len(part) > 2:
            inner = part[1:-1].replace("\\", r"\\").replace("[", r"\[")
            inner = "^" + inner[1:] if inner.startswith("!") else inner.replace("^", r"\^")
            return f"(?![/])[{inner}]"
        case _:
            return re.escape(part)
