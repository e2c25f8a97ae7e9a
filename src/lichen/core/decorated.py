"""A user's function under one of Lichen's decorators, read by its syntax tree and never run."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lichen.core.errors import LichenError, Where
from lichen.core.settings import Lines


@dataclass(frozen=True)
class Decorated:
    """A function, the settings that its decorator is given, and where each stands.

    `imported` says what names of the file's imports mean: `pd` is `pandas`.
    """

    path: Path
    function: ast.FunctionDef
    call: ast.Call
    settings: Mapping[str, Any]
    imported: Mapping[str, str]

    @property
    def lines(self) -> Lines:
        """Where each setting is said; `$` is the line of the decorator."""
        return {"$": self.call.lineno} | {f"$.{k.arg}": k.value.lineno for k in self.call.keywords}


def read_decorated(
    path: Path, word: str, settings: Iterable[str], error: type[LichenError], hint: str
) -> Decorated:
    """Return the first function that carries `@word(…)`; raises `error` with the line.

    Settings are literals, given by name; `settings` are those that there are.
    """
    tree = _parsed(path, error)
    for function in tree.body:
        if isinstance(function, ast.FunctionDef):
            for decorator in function.decorator_list:
                if isinstance(decorator, ast.Call) and called(decorator) == word:
                    told = _literals(decorator, path, word, tuple(settings), error)
                    return Decorated(path, function, decorator, told, _imported(tree))
    raise error(f"no function here carries @{word}(...)", where=Where(path), hint=hint)


def called(decorator: ast.expr) -> str:
    """Return the last word of what a decorator calls.

    >>> called(ast.parse("lichen.table(key=1)", mode="eval").body)
    'table'
    """
    function = decorator.func if isinstance(decorator, ast.Call) else decorator
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _parsed(path: Path, error: type[LichenError]) -> ast.Module:
    try:
        return ast.parse(path.read_text("utf-8"), filename=str(path))
    except SyntaxError as wrong:
        where = Where(path, wrong.lineno or 0)
        raise error(f"this Python does not read: {wrong.msg}", where=where) from wrong


def _literals(
    call: ast.Call, path: Path, word: str, allowed: tuple[str, ...], error: type[LichenError]
) -> dict[str, Any]:
    if call.args:
        where = Where(path, call.lineno)
        raise error(f"@{word} takes its settings by name", where=where, allowed=allowed)
    settings: dict[str, Any] = {}
    for keyword in call.keywords:
        try:
            settings[str(keyword.arg)] = ast.literal_eval(keyword.value)
        except ValueError as wrong:
            raise error(
                f"{keyword.arg} must be written out: the file is read without running it",
                where=Where(path, keyword.value.lineno),
                allowed=("a text", "a number", "a list", "a dict"),
            ) from wrong
    return settings


def _imported(tree: ast.Module) -> dict[str, str]:
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {a.asname: a.name for a in node.names if a.asname}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return found
