"""What a disk may hold after a power cut, from the recorded order of writes, names and syncs.

A program is run under strace, which tells each call that changes a folder, with its bytes. From
that, `Disk` follows two things: what programs see, and what was synced. A state after a cut holds
all that was synced, and of the rest whatever chance leaves: a write or none of it, a part of it,
zeroes in its place, a later write without an earlier one; a name, or no name, for a file or folder
whose folder was not synced. Only a rename within one folder is never half done.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import lichen

_CALLS = (
    "openat,open,creat,write,pwrite64,writev,pwritev,pwritev2,lseek,ftruncate,truncate,rename,"
    "renameat,renameat2,link,linkat,symlink,unlink,unlinkat,rmdir,mkdir,mkdirat,fsync,fdatasync,"
    "copy_file_range,sendfile,fallocate"
)
_HEX = r"((?:\\x[0-9a-f]{2})*)"
_CALL = re.compile(r"^\d+ +(\w+)\((.*)\) += (-?\d+)")
_PATH = re.compile(rf'(?:(?:AT_FDCWD|\d+)<{_HEX}>(?:\(deleted\))?, )?"{_HEX}"')
_OPEN_FILE = re.compile(rf"^(\d+)<{_HEX}>")


class Op(NamedTuple):
    """One call: what it did, to which path, at which descriptor, where in the file, which bytes."""

    kind: str
    path: str
    other: str = ""
    fd: int = -1
    at: int = 0
    data: bytes = b""


def record(program: Sequence[str], trace: Path, cwd: Path) -> tuple[Op, ...]:
    """Run a Python program under strace; returns what it did to files, wherever they lie."""
    strace = ["strace", "-f", "-qq", "-y", "-xx", "-s", "100000000", "--seccomp-bpf",
              "-o", str(trace), "-e", f"trace={_CALLS}"]  # fmt: skip
    ours = {**os.environ, "PYTHONPATH": str(Path(lichen.__file__).parents[1])}
    done = subprocess.run(
        [*strace, sys.executable, *program], cwd=cwd, env=ours, capture_output=True
    )
    assert done.returncode == 0, done.stderr.decode()[-3000:]
    return tuple(_ops(_whole_lines(trace)))


def _whole_lines(trace: Path) -> Iterator[str]:
    """Yield calls in the order of their ends, those that others interrupted put together."""
    begun: dict[str, str] = {}
    with trace.open() as lines:
        for line in lines:
            thread, _, rest = line.rstrip("\n").partition(" ")
            if rest.endswith(" <unfinished ...>"):
                begun[thread] = rest.removesuffix(" <unfinished ...>").lstrip()
            elif " resumed>" in rest:
                yield f"{thread} {begun.pop(thread)}{rest.partition(' resumed>')[2]}"
            else:
                yield f"{thread} {rest.lstrip()}"


def _ops(lines: Iterator[str]) -> Iterator[Op]:
    for line in lines:
        match = _CALL.match(line)
        if match is None or int(match[3]) < 0:
            continue
        call, args, result = match[1], match[2], int(match[3])
        opened = _OPEN_FILE.match(args)
        if call in ("write", "pwrite64", "lseek", "ftruncate", "fsync", "fdatasync"):
            assert opened is not None, line[:200]
            yield _on_open(call, int(opened[1]), _text(opened[2]), args, result)
        elif opened is not None and call not in ("openat", "mkdirat", "unlinkat", "renameat",
                                                 "renameat2", "linkat"):  # fmt: skip
            yield Op(f"unknown {call}", _text(opened[2]))
        else:
            yield from _on_names(call, args, result)


def _on_open(call: str, fd: int, path: str, args: str, result: int) -> Op:
    if call in ("fsync", "fdatasync"):
        return Op("sync", path, fd=fd)
    if call == "lseek":
        return Op("seek", path, fd=fd, at=result)
    if call == "ftruncate":
        return Op("cut", path, fd=fd, at=int(args.rpartition(", ")[2]))
    data = _bytes(args[args.index('"') + 1 : args.rindex('"')])[:result]
    at = int(args.rpartition(", ")[2]) if call == "pwrite64" else -1
    return Op("write", path, fd=fd, at=at, data=data)


def _on_names(call: str, args: str, result: int) -> Iterator[Op]:
    paths = [os.path.normpath(os.path.join(_text(m[1] or ""), _text(m[2])))  # noqa: PTH118
             for m in _PATH.finditer(args)]  # fmt: skip
    if call in ("openat", "open", "creat"):
        flags = args.rpartition('"')[2]
        kind = "make" if "O_CREAT" in flags or call == "creat" else "open"
        yield Op(kind, paths[0], fd=result, at=int("O_APPEND" in flags))
        if "O_TRUNC" in flags or call == "creat":
            yield Op("cut", paths[0], fd=result, at=0)
    elif call.startswith("mkdir"):
        yield Op("folder", paths[0])
    elif call.startswith("rename"):
        yield Op("rename", paths[0], paths[1])
    elif call.startswith("link"):
        yield Op("link", paths[0], paths[1])
    elif call in ("unlink", "unlinkat", "rmdir"):
        yield Op("remove", paths[0])
    else:
        yield Op(f"unknown {call}", paths[0])


def _bytes(escaped: str) -> bytes:
    return bytes.fromhex(escaped.replace("\\x", ""))


def _text(escaped: str) -> str:
    return _bytes(escaped).decode()


@dataclass
class _Thing:
    """A file or a folder: what is synced of it, and what was done to it since."""

    folder: bool = False
    data: bytearray = field(default_factory=bytearray)
    writes: list[tuple[int, bytes | None]] = field(default_factory=list)  # None: cut at a length
    length: int = 0  # as programs see it
    names: dict[str, _Thing] = field(default_factory=dict)
    seen: dict[str, _Thing] = field(default_factory=dict)
    renamed: list[tuple[int, str, _Thing | None]] = field(default_factory=list)

    def sync(self) -> None:
        if self.folder:
            self.names = dict(self.seen)
            self.renamed.clear()
        else:
            self.data = _applied(self.data, self.writes)
            self.writes.clear()


@dataclass
class Disk:
    """A folder whose changes are followed, call by call. What was there before only is read."""

    root: str
    top: _Thing = field(default_factory=lambda: _Thing(folder=True))
    _files: dict[int, tuple[_Thing, bool]] = field(default_factory=dict)
    _places: dict[int, int] = field(default_factory=dict)
    _count: int = 0

    def apply(self, op: Op) -> None:
        """Take on what a call did; calls elsewhere are left out."""
        if not self._within(op.path) and not self._within(op.other):
            return
        assert not op.kind.startswith("unknown"), op
        getattr(self, f"_{op.kind}")(op)

    def _within(self, path: str) -> bool:
        return path == self.root or path.startswith(f"{self.root}/")

    def _find(self, path: str) -> _Thing | None:
        found: _Thing | None = self.top
        for part in path[len(self.root) + 1 :].split("/") if path != self.root else ():
            found = found.seen.get(part) if found is not None else None
        return found

    def _name(self, group: int, path: str, thing: _Thing | None) -> None:
        above, _, name = path.rpartition("/")
        folder = self._find(above)
        assert folder is not None, path
        folder.renamed.append((group, name, thing))
        if thing is None:
            del folder.seen[name]
        else:
            folder.seen[name] = thing

    def _next(self) -> int:
        self._count += 1
        return self._count

    def _open_file(self, op: Op, thing: _Thing) -> None:
        self._files[op.fd] = (thing, bool(op.at))
        self._places[op.fd] = 0

    def _make(self, op: Op) -> None:
        thing = self._find(op.path)
        if thing is None:
            thing = _Thing()
            self._name(self._next(), op.path, thing)
        self._open_file(op, thing)

    def _open(self, op: Op) -> None:
        thing = self._find(op.path)
        if thing is not None:  # or it was there at the begin, and is only read
            self._open_file(op, thing)

    def _folder(self, op: Op) -> None:
        self._name(self._next(), op.path, _Thing(folder=True))

    def _remove(self, op: Op) -> None:
        self._name(self._next(), op.path, None)

    def _link(self, op: Op) -> None:
        self._name(self._next(), op.other, self._find(op.path))

    def _rename(self, op: Op) -> None:
        thing, group = self._find(op.path), self._next()
        self._name(group, op.other, thing)
        self._name(group, op.path, None)

    def _seek(self, op: Op) -> None:
        self._places[op.fd] = op.at

    def _cut(self, op: Op) -> None:
        thing, _ = self._files[op.fd]
        if thing.length != op.at:
            thing.writes.append((op.at, None))
            thing.length = op.at

    def _write(self, op: Op) -> None:
        thing, appends = self._files[op.fd]
        at = op.at if op.at >= 0 else thing.length if appends else self._places[op.fd]
        if op.at < 0:
            self._places[op.fd] = at + len(op.data)
        thing.writes.append((at, op.data))
        thing.length = max(thing.length, at + len(op.data))

    def _sync(self, op: Op) -> None:
        thing = self._find(op.path)
        if thing is None:  # it was renamed or removed since
            thing, _ = self._files[op.fd]
        thing.sync()

    def leave(self, into: Path, pick: random.Random) -> None:
        """Write what a cut now may leave into a folder."""
        kept: dict[int, bool] = {}
        most = pick.choice((0.0, 0.5, 0.9, 1.0))  # of the names that were not synced

        def keeps(group: int) -> bool:
            return kept.setdefault(group, pick.random() < most)

        _write_out(self.top, into, pick, keeps)


def _write_out(
    thing: _Thing, into: Path, pick: random.Random, keeps: Callable[[int], bool]
) -> None:
    names = dict(thing.names)
    for group, name, then in thing.renamed:
        if keeps(group):
            if then is None:
                names.pop(name, None)
            else:
                names[name] = then
    into.mkdir(exist_ok=True)
    for name, each in names.items():
        if each.folder:
            _write_out(each, into / name, pick, keeps)
        else:
            (into / name).write_bytes(_left(each, pick))


def _left(file: _Thing, pick: random.Random) -> bytes:
    """Return what is there of a file, by chance, where some of its writes were not synced."""
    writes = list(file.writes)
    match pick.choice(("all", "none", "prefix", "zeroes", "some")) if writes else "none":
        case "none":
            writes = []
        case "prefix":
            writes = writes[: pick.randrange(len(writes)) + 1]
            at, data = writes[-1]
            if data is not None:
                writes[-1] = (at, data[: pick.randrange(len(data) + 1)])
        case "zeroes":
            writes = [(at, None if data is None else bytes(len(data))) for at, data in writes]
        case "some":
            writes = [write for write in writes if pick.random() < 0.5]
    return bytes(_applied(file.data, writes))


def _applied(data: bytearray, writes: Sequence[tuple[int, bytes | None]]) -> bytearray:
    found = bytearray(data)
    for at, new in writes:
        if new is None:
            found = found[:at] + bytes(max(0, at - len(found)))
        else:
            found += bytes(max(0, at - len(found)))
            found[at : at + len(new)] = new
    return found
