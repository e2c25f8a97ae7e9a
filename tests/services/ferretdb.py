"""FerretDB with SQLite, which speaks MongoDB's protocol; built from its Go module."""

import shutil
import socket
import struct
from collections.abc import Mapping, Sequence
from typing import TypeAlias, Union

from tests.services.frame import HOST, ROOT, Launch, Room, ServiceError, run

NAME = "ferretdb"
TITLE = "FerretDB"
PORTS = {"main": 17017}
SECONDS = 20.0

KIT = ROOT / "tests" / "services" / "kits" / "ferretdb"  # go.mod and go.sum pin what is built
PROGRAM = ROOT / ".services" / "kits" / "ferretdb-1.24.2"

OP_MSG = 2013

Value: TypeAlias = Union[int, str, "Document", Sequence["Value"]]
Document: TypeAlias = Mapping[str, Value]


def missing() -> str | None:
    """Why FerretDB cannot start here; None when it can."""
    return None if PROGRAM.exists() else f"not built yet{'' if shutil.which('go') else ', no go'}"


def install() -> None:
    """Build the server from its pinned Go module."""
    if shutil.which("go") is None:
        raise ServiceError("no go: bring Go 1.24 or newer (package golang, or from its makers)")
    PROGRAM.parent.mkdir(parents=True, exist_ok=True)
    run(
        [
            "go",
            "-C",
            KIT,
            "build",
            "-mod=readonly",
            "-trimpath",
            "-ldflags=-s -w",
            "-o",
            PROGRAM,
            ".",
        ]
    )


def launches(room: Room) -> list[Launch]:
    """Say how to run the server; each database is a file in its folder."""
    data = room.folder / "data"
    data.mkdir(exist_ok=True)
    return [Launch([PROGRAM, room.address, f"{data}/"], env={"GOMEMLIMIT": "256MiB"})]


def answer(room: Room) -> str:
    """Ask for the version of MongoDB that it offers: this reads a document from its answer."""
    reply = command(room, {"buildInfo": 1, "$db": "admin"})
    start = reply.index(b"\x02version\x00") + len(b"\x02version\x00")
    (size,) = struct.unpack_from("<i", reply, start)
    return "as MongoDB " + reply[start + 4 : start + 3 + size].decode()


def drop(room: Room, database: str) -> None:
    """Remove a database and all its documents."""
    command(room, {"dropDatabase": 1, "$db": database})


def command(room: Room, document: Document) -> bytes:
    """Send one command and return the answer's document as BSON; raises unless it says ok."""
    body = struct.pack("<IB", 0, 0) + bson(document)
    with socket.create_connection((HOST, room.port), timeout=5) as wire:
        wire.sendall(struct.pack("<iiii", 16 + len(body), 1, 0, OP_MSG) + body)
        (size,) = struct.unpack("<i", _exactly(wire, 4))
        reply = _exactly(wire, size - 4)[17:]
    if b"\x01ok\x00" + struct.pack("<d", 1.0) not in reply:
        raise ServiceError(f"FerretDB refused {dict(document)}: {reply!r}")
    return reply


def bson(document: Document) -> bytes:
    """Encode a document of 32-bit numbers, texts, documents and lists."""
    fields = b"".join(_field(name, value) for name, value in document.items())
    return struct.pack("<i", len(fields) + 5) + fields + b"\x00"


def _field(name: str, value: Value) -> bytes:
    head = name.encode() + b"\x00"
    match value:
        case int():
            return b"\x10" + head + struct.pack("<i", value)
        case str():
            text = value.encode() + b"\x00"
            return b"\x02" + head + struct.pack("<i", len(text)) + text
        case Mapping():
            return b"\x03" + head + bson(value)
        case _:
            return b"\x04" + head + bson({str(at): each for at, each in enumerate(value)})


def _exactly(wire: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size:
        more = wire.recv(size - len(read))
        if not more:
            raise ServiceError("FerretDB closed the connection within an answer")
        read += more
    return read
