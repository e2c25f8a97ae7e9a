"""The files connector: files in many formats, in the project, in S3 or in HDFS."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lichen.adapters.sources.globs import is_glob
from lichen.adapters.sources.stores import Cache, Store, fetched
from lichen.core.errors import FileUnreadable, LakeError, SourceError
from lichen.core.size import size
from lichen.core.steps import Seen
from lichen.ports.source import Outside, Settings, Tls

if TYPE_CHECKING:  # it speaks of SQL, and plans are made without its parser
    from lichen.ports.engine import Engine, Records

_ENDINGS = {
    ".csv": "csv", ".tsv": "tsv", ".tab": "tsv", ".json": "json", ".ndjson": "ndjson",
    ".jsonl": "ndjson", ".parquet": "parquet", ".avro": "avro", ".orc": "orc", ".xlsx": "excel",
    ".xlsm": "excel", ".xlsb": "excel", ".xls": "excel", ".ods": "excel",
}  # fmt: skip
FORMATS = ("csv", "tsv", "json", "ndjson", "parquet", "avro", "orc", "excel")
_PACKED = (".gz", ".zst")


class FilesSettings(Settings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a source of files may say besides."""

    SECRETS = frozenset({"access_key_id", "secret_access_key", "session_token"})
    ASIDE = frozenset({"anywhere", "largest", "endpoint", "region", "hosts", "user", "tls"})

    path: str
    prepare: str | None = None
    format: str | None = None
    delimiter: str | None = None
    records: str | None = None
    sheet: str | None = None
    anywhere: bool = False
    largest: str = "20 GB"
    endpoint: str | None = None
    region: str = "us-east-1"
    access_key_id: str | None = None
    secret_access_key: str | None = None
    session_token: str | None = None
    user: str | None = None
    hosts: tuple[str, ...] = ()
    tls: Tls | None = None


class Files:
    """Lists files by a glob, in the order of their paths, and reads each as its format says."""

    Settings = FilesSettings

    def __init__(self, settings: FilesSettings, outside: Outside) -> None:
        self._settings, self._outside = settings, outside
        if settings.format is not None and settings.format not in FORMATS:
            given = settings.format
            raise SourceError(f"format: there is no {given!r}", allowed=FORMATS, given=given)
        if settings.delimiter is not None and len(settings.delimiter.encode()) != 1:
            raise SourceError("delimiter: it is one character", allowed=("','", "';'", '"\\t"'))
        self._largest = size(settings.largest)
        self._store = _store(settings, outside)
        self._cache = Cache(outside.folder / "fetched" / outside.node)

    def list(self, known: Mapping[str, Seen]) -> tuple[Seen, ...]:
        """Return the files that are there; untouched local files keep the hash they had."""
        if self._store is None:
            return _local_files(self._settings, self._outside.root, known)
        found = (seen for seen in self._store.list() if not _hidden(seen.path))
        return tuple(sorted(found, key=lambda seen: seen.path))

    def local(self, seen: Seen) -> Path:
        """Return a path on this machine where a file may be read, fetched if need be."""
        if self._store is None:
            return self._outside.root / seen.path
        return fetched(self._store, seen, self._cache, self._largest, self._outside.where)

    def records(self, seen: Seen, engine: Engine, columns: Sequence[str]) -> Records:
        """Read a file; raises FileUnreadable where nothing of it can be read."""
        given = self.local(seen)
        try:
            path = self._unpacked(seen, given)
            return self._read(path, self._format(seen.path), engine, columns)
        except (FileUnreadable, LakeError) as error:
            shown = self._store is None and error.where is not None and error.where.path == given
            what = error.what if shown else f"{seen.path}: {error.what}"
            raise FileUnreadable(
                what,
                where=error.where if shown else self._outside.where,
                allowed=error.allowed,
                given=error.given,
                hint=error.hint,
            ) from error

    def close(self) -> None:
        """Close the store, and remove what was fetched from it."""
        if self._store is not None:
            self._store.close()
        self._cache.close()

    def _format(self, path: str) -> str:
        return self._settings.format or _ENDINGS.get(Path(_bare(path)).suffix.lower(), "csv")

    def _unpacked(self, seen: Seen, path: Path) -> Path:
        ending = _packed(seen.path)
        if ending is None:
            return path
        from lichen.adapters.formats.packed import unpack

        target = self._cache.path(seen.path, seen.sha256, "unpacked")
        unpack(path, ending, target, self._largest)
        return target

    def _read(self, path: Path, format_: str, engine: Engine, columns: Sequence[str]) -> Records:
        from lichen.ports.engine import Records

        said, more = self._settings, self._settings.on_drift is not None
        match format_:
            case "csv" | "tsv":
                return engine.csv(path, delimiter=said.delimiter or ",\t"[format_ == "tsv"])
            case "parquet":
                return engine.parquet(path)
            case "ndjson":
                from lichen.adapters.formats import jsons

                return jsons.lines(path, engine, columns, more=more)
            case "json":
                from lichen.adapters.formats import jsons

                names = said.records.split(".") if said.records else ()
                return jsons.elements(path, names, engine, columns, more=more)
            case "excel":
                from lichen.adapters.formats import excel

                return Records(excel.read(path, said.sheet), None)
            case _:
                from lichen.adapters.formats import avro, orc
                from lichen.adapters.formats.jsons import joined

                parts = avro.read(path) if format_ == "avro" else orc.read(path)
                return Records(joined(list(parts)), None)


def _store(settings: FilesSettings, outside: Outside) -> Store | None:
    """Return the store that a path names; None is the project's own folder."""
    scheme, sep, _ = settings.path.partition("://")
    if not sep:
        return None
    match scheme:
        case "s3":
            from lichen.adapters.sources.s3 import Bucket

            return Bucket(settings, outside)
        case "hdfs":
            from lichen.adapters.sources.hdfs import Hdfs

            return Hdfs(settings, outside)
    raise SourceError(
        f"path: there is no store {scheme!r}",
        allowed=("feeds/*.csv", "s3://BUCKET/GLOB", "hdfs://HOST:PORT/GLOB"),
    )


def _local_files(
    settings: FilesSettings, root: Path, known: Mapping[str, Seen]
) -> tuple[Seen, ...]:
    path = settings.path
    outside = Path(path).is_absolute() or ".." in Path(path).parts
    if outside and not settings.anywhere:
        raise SourceError(
            f"the path {path!r} leads out of the project",
            hint="give a path relative to the project, such as feeds/weather/*.csv, or say "
            "`anywhere: true` if every machine that runs this has it there",
        )
    base, glob = root, path
    if Path(path).is_absolute():
        base, glob = Path(Path(path).anchor), str(Path(path).relative_to(Path(path).anchor))
    found = sorted(p for p in base.glob(glob) if p.is_file() and not p.name.startswith("."))
    if not found and not is_glob(path):
        beside = (root / path).parent
        names = sorted(p.name for p in beside.iterdir()) if beside.is_dir() else []
        name = Path(path).name
        raise SourceError(f"the file {path!r} is missing", allowed=names, given=name)
    return tuple(_seen(p, root, known) for p in found)


def _seen(path: Path, root: Path, known: Mapping[str, Seen]) -> Seen:
    inside = path.is_relative_to(root)
    name, stat = (path.relative_to(root) if inside else path).as_posix(), path.stat()
    before = known.get(name)
    if before and (before.size, before.mtime_ns) == (stat.st_size, stat.st_mtime_ns):
        return before
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Seen(path=name, size=stat.st_size, mtime_ns=stat.st_mtime_ns, sha256=sha256)


def _hidden(path: str) -> bool:
    """Return whether a file is not there for readers (yet), as Hadoop and others name these."""
    return path.rpartition("/")[2].startswith((".", "_")) or "/_temporary/" in path


def _packed(path: str) -> str | None:
    return next((ending for ending in _PACKED if path.lower().endswith(ending)), None)


def _bare(path: str) -> str:
    ending = _packed(path)
    return path[: -len(ending)] if ending else path
