"""Reads a query of ADBC batch by batch in a thread of its own, ahead of whoever asks for them.

The Arrow C stream is called here rather than by an Arrow library: these hold the interpreter while
they wait for the server, and then no time could ever run out.
"""

from __future__ import annotations

import ctypes
import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from arro3.core import Array, DataType, RecordBatch, Schema

from lichen.adapters.sources.postgres.server import READ_ONLY, SETUP, Server
from lichen.core.extras import needed

BYTES = 4 << 20  # of a batch, about
AHEAD = 2  # batches


class _ArrowArray(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("length", "null_count", "offset", "n_buffers")),
        ("n_children", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("buffers", "children", "dictionary", "release")),
        ("private_data", ctypes.c_void_p),
    )


class _ArrowSchema(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("format", "name", "metadata")),
        ("flags", ctypes.c_int64),
        ("n_children", ctypes.c_int64),
        *((name, ctypes.c_void_p) for name in ("children", "dictionary", "release", "private")),
    )


_FILL = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_TELL = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_void_p)


class _ArrowStream(ctypes.Structure):
    _fields_ = (
        ("get_schema", _FILL),
        ("get_next", _FILL),
        ("get_last_error", _TELL),
        ("release", ctypes.c_void_p),
        ("private_data", ctypes.c_void_p),
    )


def _capsule(struct: ctypes.Structure, name: bytes) -> Any:
    new = ctypes.pythonapi.PyCapsule_New
    new.restype = ctypes.py_object
    new.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    return new(ctypes.addressof(struct), name, None)


class _Ended(Exception):
    """The reader is asked for nothing more."""


class Pull:
    """The batches of one query, in order, as an Arrow library's own, without any metadata.

    `before` are statements for its session. Nothing is waited for longer than the timeout; where
    that runs out, the thread ends once the operating system has given the connection up.
    """

    def __init__(self, server: Server, query: str, before: Sequence[str] = ()) -> None:
        self._server, self._query = server, query
        self._before = (SETUP, READ_ONLY, *before)
        self._conninfo = server.conninfo()
        self._manager = needed("adbc_driver_manager", "postgres")
        self._driver = needed("adbc_driver_postgresql", "postgres")._driver_path()
        self._given: queue.Queue[Any] = queue.Queue(AHEAD)
        self._stop = threading.Event()
        self.ready = threading.Event()  # the query has its snapshot
        threading.Thread(target=self._work, name="postgres", daemon=True).start()

    def __iter__(self) -> Iterator[RecordBatch]:
        while (found := self._next()) is not None:
            yield found

    def close(self) -> None:
        """Ask for nothing more."""
        self._stop.set()
        with suppress(queue.Empty):
            while True:
                self._given.get_nowait()

    def _next(self) -> RecordBatch | None:
        try:
            found = self._given.get(timeout=self._server.timeout)
        except queue.Empty:
            self.close()
            raise self._server.late("reading") from None
        if isinstance(found, BaseException):
            raise self._server.error(found) from None
        assert found is None or isinstance(found, RecordBatch)
        return found

    def _work(self) -> None:
        try:
            self._read()
            self._give(None)
        except _Ended:
            pass
        except BaseException as error:  # noqa: BLE001 - whoever asks gets it
            with suppress(_Ended):
                self._give(error)

    def _read(self) -> None:
        with (
            self._manager.AdbcDatabase(driver=self._driver, uri=self._conninfo) as database,
            self._manager.AdbcConnection(database) as connection,
        ):
            for text in self._before:
                with self._manager.AdbcStatement(connection) as statement:
                    statement.set_sql_query(text)
                    statement.execute_update()
            with self._manager.AdbcStatement(connection) as statement:
                statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(BYTES)})
                statement.set_sql_query(self._query)
                handle, _ = statement.execute_query()
                self.ready.set()
                self._pull(handle)

    def _pull(self, handle: Any) -> None:
        stream = _ArrowStream.from_address(handle.address)
        place = ctypes.addressof(stream)
        told = _ArrowSchema()
        self._checked(stream, stream.get_schema(place, ctypes.addressof(told)))
        schema = Schema.from_arrow_pycapsule(_capsule(told, b"arrow_schema"))
        plain = _plain(schema)
        while True:
            array = _ArrowArray()
            self._checked(stream, stream.get_next(place, ctypes.addressof(array)))
            if array.release is None:
                if not self._stop.is_set():
                    self._give(_nothing(plain))
                return
            batch = RecordBatch.from_arrow_pycapsule(
                schema.__arrow_c_schema__(), _capsule(array, b"arrow_array")
            )
            self._give(batch.with_schema(plain))

    def _checked(self, stream: _ArrowStream, code: int) -> None:
        if code == 0:
            return
        text = stream.get_last_error(ctypes.addressof(stream)) or b"it broke off"
        raise OSError(text.decode(errors="replace"))

    def _give(self, what: Any) -> None:
        while not self._stop.is_set():
            with suppress(queue.Full):
                self._given.put(what, timeout=0.2)
                return
        raise _Ended


def _plain(schema: Schema) -> Schema:
    """A schema without metadata: an engine might make something else of it than the columns."""
    return Schema([type(f)(f.name, f.type, nullable=True) for f in map(schema.field, schema.names)])


def _nothing(schema: Schema) -> RecordBatch:
    arrays = [_none(schema.field(name).type) for name in schema.names]
    return RecordBatch.from_arrays(arrays, schema=schema)


def _none(type_: DataType) -> Array:
    try:
        return Array([], type_)
    except NotImplementedError:  # times are made of numbers
        counts = DataType.int32() if type_ == DataType.date32() else DataType.int64()
        return Array([], counts).cast(type_)
