"""The service's own log: complete lines, with the operating system before anybody is answered."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from lichen.core.errors import ServiceError, Where
from lichen.core.names import Kind
from lichen.core.time import wall
from lichen.stages.services.log import log_folder
from lichen.stages.services.tables import Outcome, Prediction

ROTATE_AT = 64 * 2**20
SYNC_EVERY = 1.0  # seconds


class Journal:
    """One log of one process: `KIND-STARTED-PID-N.ndjson`, a new file after `rotate_at` bytes.

    A written line survives the death of the process at once, and a power cut after a second: the
    file is made durable at most once a second, and whenever it is closed.
    """

    def __init__(
        self, folder: Path, service: str, kind: Kind, *, rotate_at: int = ROTATE_AT
    ) -> None:
        """Write nothing yet: the file is made with the first line."""
        self._folder = log_folder(folder, service)
        self._stem = f"{kind.value}-{wall():%Y%m%dT%H%M%S%f}-{os.getpid()}"
        self._rotate_at = rotate_at
        self._number, self._size, self._synced = 0, 0, 0.0
        self._file: int | None = None
        self._lock = threading.Lock()

    def write(self, lines: Sequence[Prediction | Outcome]) -> None:
        """Append the lines as one write; raises ServiceError, and leaves no part of them, if it
        cannot."""
        if not lines:
            return
        data = b"".join(msgspec.json.encode(line) + b"\n" for line in lines)
        with self._lock:
            try:
                self._append(data)
            except OSError as error:
                raise ServiceError(
                    f"the log cannot be written: {error}",
                    where=Where(self._folder),
                    hint="nothing is answered that is not logged; make room, and ask again",
                ) from error

    def close(self) -> None:
        """Make everything durable and close the file."""
        with self._lock:
            self._close()

    def _append(self, data: bytes) -> None:
        if self._file is None or self._size >= self._rotate_at:
            self._close()
            self._file = self._opened()
        begin, view = self._size, memoryview(data)
        try:
            while view:
                view = view[os.write(self._file, view) :]
        except OSError:
            os.ftruncate(self._file, begin)
            raise
        self._size += len(data)
        if time.monotonic() - self._synced >= SYNC_EVERY:
            os.fsync(self._file)
            self._synced = time.monotonic()

    def _opened(self) -> int:
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{self._stem}-{self._number}.ndjson"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._number, self._size = self._number + 1, 0
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return file

    def _close(self) -> None:
        if self._file is not None:
            os.fsync(self._file)
            os.close(self._file)
            self._file = None
