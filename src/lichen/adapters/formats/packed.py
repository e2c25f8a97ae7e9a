"""Files that are packed by gzip or zstd, unpacked beside the project within a declared limit."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from lichen.core.errors import FileUnreadable
from lichen.core.extras import needed

ENDINGS = (".gz", ".zst")
_AT_ONCE = 1 << 20


def unpack(path: Path, ending: str, target: Path, most: int) -> None:
    """Write what a packed file holds to `target`; raises FileUnreadable.

    A small file can hold any amount: what holds more than `most` bytes is given up at once.
    """
    opened, errors = _gzip() if ending == ".gz" else _zstd()
    done = 0
    with path.open("rb") as packed, target.open("wb") as out:
        try:
            with opened(packed) as file:
                while block := file.read(_AT_ONCE):
                    done += len(block)
                    if done > most:
                        raise FileUnreadable(
                            f"it unpacks to more than {most:,} bytes",
                            hint="say `largest: SIZE` in the source if that is right",
                        )
                    out.write(block)
        except errors as error:
            raise FileUnreadable(f"it does not unpack: {error}") from error


def _gzip() -> tuple[Callable[[Any], IO[bytes]], tuple[type[Exception], ...]]:
    errors = (gzip.BadGzipFile, EOFError, zlib.error)
    return (lambda file: gzip.open(file, "rb")), errors


def _zstd() -> tuple[Callable[[Any], IO[bytes]], tuple[type[Exception], ...]]:
    zstandard = needed("zstandard", "zstd")
    reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader
    return (lambda file: reader(file, read_across_frames=True)), (zstandard.ZstdError,)
