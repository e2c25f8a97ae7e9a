"""The `prepare.py` of a project whose CSV file cannot be read as it is. Pure."""

from __future__ import annotations

import json

from lichen.starters.raw import Raw

_TEXT = '''\
"""Makes the feed of a CSV file that cannot be read as it is.

The rows stay as they are; the first line and the separators change.
"""

# Why it cannot be read as it is:
{why}

import csv
import os
from datetime import datetime
from pathlib import Path

GIVEN, FEED = {given}, {feed}
ENCODING, DELIMITER = {encoding}, {delimiter}
HEADER = {header}
NAMES = {names}


def prepare(folder: Path, now: datetime) -> None:
    """Write the feed anew where the given file is newer; it appears whole or not at all."""
    given, feed = folder / GIVEN, folder / FEED
    if feed.is_file() and feed.stat().st_mtime_ns == given.stat().st_mtime_ns:
        return
    feed.parent.mkdir(parents=True, exist_ok=True)
    draft = feed.with_name(f".{{feed.name}}")
    with given.open(encoding=ENCODING, newline="") as old:
        with draft.open("w", encoding="utf-8", newline="") as new:
            rows = csv.reader(old, delimiter=DELIMITER)
            header = next(rows)
            if header != HEADER:
                raise ValueError(f"the columns of {{GIVEN}} are not those of before: {{header}}")
            writer = csv.writer(new, lineterminator="\\n")
            writer.writerow(NAMES)
            writer.writerows(rows)
    os.utime(draft, ns=(given.stat().st_mtime_ns, given.stat().st_mtime_ns))
    draft.replace(feed)
'''


def prepare(raw: Raw, given: str, feed: str) -> str:
    """Return the text of a module whose `prepare(folder, now)` makes `feed` of `given`."""
    return _TEXT.format(
        why="\n".join(f"# - {line}" for line in raw.repairs),
        given=json.dumps(given),
        feed=json.dumps(feed),
        encoding=json.dumps(raw.encoding),
        delimiter=json.dumps(raw.delimiter),
        header=_listed(raw.header),
        names=_listed(raw.columns),
    )


def _listed(words: tuple[str, ...]) -> str:
    return "[\n" + "".join(f"    {json.dumps(word)},\n" for word in words) + "]"
