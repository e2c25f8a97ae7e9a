"""Targets: the environments of `lichen.yml`, checked, and where each one keeps what it holds."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from lichen.core.errors import LichenError, ProjectError, Where
from lichen.core.secrets import outright, resolved
from lichen.core.settings import Lines, convert, line_of

DEV = "dev"
_MEMORY = re.compile(r"\d+(\.\d+)? ?[KMGT]i?B")


class EngineSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the engine of a target may take of the machine."""

    threads: int | None = None
    memory: str | None = None
    temp: str | None = None


class TargetSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One environment of `lichen.yml`; paths are relative to the project.

    `begins` is the target that this one begins as a branch of; None begins empty.
    """

    begins: str | msgspec.UnsetType | None = msgspec.field(name="from", default=msgspec.UNSET)
    folder: str | None = None
    lake: str | None = None
    ledger: str | None = None
    engine: EngineSettings = EngineSettings()
    secrets: dict[str, str] = {}


Targets = Mapping[str, TargetSettings]
_Mistake = Callable[..., ProjectError]


@dataclass(frozen=True)
class Place:
    """Where a target keeps what it holds, and the place of the target that it begins from."""

    target: str
    folder: Path
    lake: Path
    ledger: Path
    temp: Path
    threads: int | None = None
    memory: str | None = None
    parent: Place | None = None

    def begun(self) -> bool:
        """Return whether anything ever ran here."""
        return self.ledger.exists()

    def read_from(self) -> Place:
        """Return where to read what this target holds: until it begins, where it begins from."""
        if self.begun() or self.parent is None:
            return self
        above = self.parent.read_from()
        return above if above.begun() else self


def place_in(folder: Path) -> Place:
    """Return the place of a `dev` that keeps all in one folder, whatever its project says."""
    return place_of(DEV, {DEV: TargetSettings(folder=str(folder.absolute()))}, folder)


def place_of(name: str, targets: Targets, root: Path) -> Place:
    """Return the place of a target; raises ProjectError where `lichen.yml` has none of the name."""
    if name not in targets:
        raise ProjectError(
            f"there is no target {name!r}",
            where=Where(root / "lichen.yml"),
            allowed=sorted(targets),
            given=name,
        )
    settings, above = targets[name], parent_of(name, targets)
    folder = root / (settings.folder or f".lichen/{name}")
    engine = settings.engine
    return Place(
        target=name,
        folder=folder,
        lake=root / settings.lake if settings.lake else folder / "lake",
        ledger=root / settings.ledger if settings.ledger else folder / "ledger.db",
        temp=root / engine.temp if engine.temp else folder / "spill",
        threads=engine.threads,
        memory=engine.memory,
        parent=place_of(above, targets, root) if above is not None else None,
    )


def parent_of(name: str, targets: Targets) -> str | None:
    """Return the target that one begins from: as it says, else `dev` if that does not begin here.

    >>> parent_of("prod", {"dev": TargetSettings(), "prod": TargetSettings()})
    'dev'
    >>> parent_of("prod", {"dev": TargetSettings(begins="prod"), "prod": TargetSettings()})
    """
    said = targets[name].begins
    if not isinstance(said, msgspec.UnsetType):
        return said
    return DEV if name != DEV and name not in _line(DEV, targets) else None


def read_targets(said: Any, path: Path, lines: Lines) -> dict[str, TargetSettings]:
    """Return the targets of a `lichen.yml`, `dev` among them; raises ProjectError at a line."""
    found = {DEV: TargetSettings()}
    for name, settings in convert(said, dict[str, Any], path, {"$": lines["$.targets"]}).items():
        at = f"$.targets.{name}"
        own = {f"${k.removeprefix(at)}": n for k, n in lines.items() if k.startswith(at)}
        found[name] = convert({} if settings is None else settings, TargetSettings, path, own)
    check_targets(found, path, lines)
    return found


def check_targets(targets: Targets, path: Path, lines: Lines) -> None:
    """Raise ProjectError, at its line, for what the targets cannot mean together."""

    def mistake(what: str, at: str, **told: Any) -> ProjectError:
        where = Where(path, line_of(lines, f"$.targets.{at}"))
        return ProjectError(what, where=where, **told)

    for name, settings in targets.items():
        if isinstance(settings.begins, str) and settings.begins not in targets:
            raise mistake(
                f"{name} begins from {settings.begins!r}, which is no target",
                f"{name}.from",
                allowed=sorted({*targets} - {name}),
                given=settings.begins,
            )
        if name in _line(name, targets):
            raise mistake(f"{name} begins, in a circle, from itself", f"{name}.from")
        _check_engine(settings.engine, name, mistake)
        for secret, reference in settings.secrets.items():
            if not outright(reference):  # the text is never told: it may be the secret
                raise mistake(
                    f"the secret {secret!r} is written out",
                    f"{name}.secrets.{secret}",
                    allowed=("env:VARIABLE", "file:PATH"),
                    hint="name where it is kept; and if this file was ever shared, change it",
                )
    _refuse_shared(targets, path, mistake)


def secret(name: str, target: str, targets: Targets, root: Path) -> str:
    """Return what a target's secret refers to; no error ever tells what that is."""
    where = Where(root / "lichen.yml")
    known = targets[target].secrets
    if name not in known:
        raise ProjectError(
            f"{target} has no secret {name!r}", where=where, allowed=sorted(known), given=name
        )
    try:
        return resolved(known[name], root, known)
    except LichenError as error:
        what = error.what.replace("a secret", f"the secret {name!r}")
        raise ProjectError(what, where=where, hint=error.hint) from None


def _line(name: str, targets: Targets) -> list[str]:
    """Return the targets that one says to begin from, one from the other."""
    found: list[str] = []
    said = targets[name].begins if name in targets else None
    while isinstance(said, str) and said not in found:
        found.append(said)
        said = targets[said].begins if said in targets else None
    return found


def _check_engine(engine: EngineSettings, name: str, mistake: _Mistake) -> None:
    if engine.threads is not None and engine.threads < 1:
        raise mistake(f"{engine.threads} threads do nothing", f"{name}.engine.threads")
    if engine.memory is not None and not _MEMORY.fullmatch(engine.memory):
        raise mistake(
            f"{engine.memory!r} is no amount of memory",
            f"{name}.engine.memory",
            allowed=("such as 800MB", "2GB", "1.5GiB"),
        )


def _refuse_shared(targets: Targets, path: Path, mistake: _Mistake) -> None:
    taken: dict[Path, str] = {}
    for name in targets:
        place = place_of(name, targets, path.parent)
        for what, where in (("lake", place.lake), ("ledger", place.ledger)):
            at = Path(os.path.abspath(where))  # noqa: PTH100 - what is there is not looked at
            if at in taken:
                raise mistake(
                    f"{name} and {taken[at]} have the same {what}",
                    f"{name}.{what}",
                    hint="each target needs its own; what they share takes no room twice",
                )
            taken[at] = name
