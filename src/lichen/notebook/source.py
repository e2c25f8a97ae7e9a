"""An estimator as the Python that makes it: written out, then made again and compared.

Only what says itself completely is written: scikit-learn's estimators by their parameters, plain
values, and what can be imported by its public name. Everything else is refused.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from importlib import import_module
from types import ModuleType
from typing import Any

from lichen.core.errors import ModelError
from lichen.stages.models.recipe import Auto

WIDTH = 88


@dataclass(frozen=True)
class Source:
    """An expression, and the names that it needs: each with the module that it is imported from."""

    expression: str
    imports: Mapping[str, str]

    def statements(self) -> list[str]:
        """Return the import statements, one a module, in the order of their names."""
        modules: dict[str, list[str]] = {}
        for name, module in sorted(self.imports.items()):
            modules.setdefault(module, []).append(name)
        return [
            f"from {module} import {', '.join(names)}" for module, names in sorted(modules.items())
        ]


def source_of(estimator: Any, *, indent: int = 0, before: int = 0) -> Source:
    """Return the Python that makes an estimator again. Raises ModelError where none does.

    The expression stands in a line of that indent, with so many characters before it.

    >>> from sklearn.linear_model import LogisticRegression
    >>> found = source_of(LogisticRegression(C=0.5))
    >>> found.expression, found.statements()
    ('LogisticRegression(C=0.5)', ['from sklearn.linear_model import LogisticRegression'])
    """
    writer = _Writer()
    tree = writer.write(estimator, "the estimator")
    found = Source(_spelled(tree, indent, before), dict(writer.imports))
    again = _made(found)
    if type(again) is not type(estimator) or not _same(again, estimator):
        raise ModelError(
            f"{type(estimator).__name__} is not the same when it is made again from its parameters",
            hint="write the lines that make it into the model's function yourself",
        )
    return found


@dataclass(frozen=True)
class _Call:
    """Text with parts between an opening and a closing one, so that long ones can be broken."""

    opening: str
    parts: tuple[tuple[str, _Tree], ...]
    closing: str
    single: bool = False  # a tuple of one


_Tree = str | _Call


@dataclass
class _Writer:
    imports: dict[str, str] = field(default_factory=dict)

    def write(self, value: Any, where: str) -> _Tree:
        """Return a value as a tree of text; `where` names it in errors."""
        match value:
            case str():
                return _quoted(str(value))
            case None | bool() | int() | bytes():
                return repr(value)
            case float():  # NumPy's too, as Python spells it
                return repr(float(value)) if math.isfinite(value) else f'float("{value}")'
            case list() | tuple() | set() | dict():
                return self._collection(value, where)
            case Auto():
                return self._auto(value)
        if (
            hasattr(value, "item")
            and type(value).__module__ == "numpy"
            and not getattr(value, "shape", 1)
        ):
            return self.write(value.item(), where)
        if isinstance(value, slice):
            ends = (value.start, value.stop, value.step)
            return _Call("slice(", tuple(("", self.write(v, where)) for v in ends), ")")
        if hasattr(value, "__qualname__") or type(value).__name__ == "ufunc":
            return self._imported(value, where)
        return self._made_of(value, where)

    def _collection(self, value: Any, where: str) -> _Tree:
        if isinstance(value, dict):
            named = (
                (f"{_spelled(self.write(k, where), 0)}: ", self.write(v, where))
                for k, v in value.items()
            )
            return _Call("{", tuple(named), "}")
        if isinstance(value, set) and not value:
            return "set()"
        shapes: dict[type, str] = {list: "[]", tuple: "()", set: "{}"}
        ends = shapes.get(type(value))
        if ends is None:
            raise _refused(value, where)
        ordered = sorted(value, key=repr) if isinstance(value, set) else value
        inside = tuple(("", self.write(v, f"{where}[{i}]")) for i, v in enumerate(ordered))
        return _Call(ends[0], inside, ends[1], single=isinstance(value, tuple) and len(value) == 1)

    def _auto(self, value: Auto) -> _Tree:
        usual = Auto()
        said: list[tuple[str, _Tree]] = [("budget=", _quoted(_duration(value.budget)))]
        if value.candidates != usual.candidates:
            said.append(("candidates=", self.write(list(value.candidates), "candidates")))
        if value.trials is not None:
            said.append(("trials=", repr(value.trials)))
        self._import("auto", "lichen")
        return _Call("auto(", tuple(said), ")")

    def _made_of(self, value: Any, where: str) -> _Tree:
        """An object by the parameters of its class that are not at their defaults."""
        class_ = type(value)
        if hasattr(value, "get_params"):
            given = value.get_params(deep=False)
        else:
            names = inspect.signature(class_).parameters
            if not names or set(names) - set(getattr(value, "__dict__", {})):
                raise _refused(value, where)
            given = {name: vars(value)[name] for name in names}
        usual = {n: p.default for n, p in inspect.signature(class_).parameters.items()}
        changed = {
            n: v for n, v in given.items() if not _equal(v, usual.get(n, inspect.Parameter.empty))
        }
        spelled = self._imported(class_, where)
        named = (
            (f"{name}=", self.write(v, f"{class_.__name__}.{name}")) for name, v in changed.items()
        )
        return _Call(f"{spelled}(", tuple(named), ")")

    def _imported(self, value: Any, where: str) -> str:
        name = getattr(value, "__qualname__", None) or value.__name__
        module = _public(getattr(value, "__module__", None) or "numpy", name, value)
        if module is None:
            raise _refused(value, where)
        if module == "builtins":
            return str(name)
        self._import(name, module)
        return str(name)

    def _import(self, name: str, module: str) -> None:
        if self.imports.setdefault(name, module) != module:
            raise ModelError(
                f"two things named {name} are needed, from {self.imports[name]} and {module}"
            )


def _public(module: str, name: str, value: Any) -> str | None:
    """Return the shortest module, without private parts, that offers a value under its name."""
    parts = module.split(".")
    public = next((i for i, part in enumerate(parts) if part.startswith("_")), len(parts))
    for length in range(1, public + 1):
        place = ".".join(parts[:length])
        if place != "__main__" and getattr(_module(place), name, None) is value:
            return place
    return None


def _module(name: str) -> ModuleType | None:
    try:
        return import_module(name)
    except ImportError:
        return None


def _spelled(tree: _Tree, indent: int, before: int = 0) -> str:
    """Return a tree on one line where it fits, else one part a line."""
    if isinstance(tree, str):
        return tree
    after = "," if tree.single else ""
    flat = ", ".join(f"{name}{_spelled(part, 0)}" for name, part in tree.parts)
    line = f"{tree.opening}{flat}{after}{tree.closing}"
    if ("\n" not in line and indent + before + len(line) <= WIDTH) or not tree.parts:
        return line
    deeper = indent + 4
    inside = (f"{' ' * deeper}{n}{_spelled(p, deeper, len(n))},\n" for n, p in tree.parts)
    return f"{tree.opening}\n{''.join(inside)}{' ' * indent}{tree.closing}"


def _quoted(text: str) -> str:
    """Return a text in double quotes, where that needs no more escapes."""
    plain = repr(text)
    return plain if plain[0] == '"' or '"' in text else f'"{plain[1:-1]}"'


def _made(source: Source) -> Any:
    """Return what the source makes; its names come from the modules that it imports them from."""
    names = {name: getattr(import_module(module), name) for name, module in source.imports.items()}
    # The text is our own, written from parameters: its only names are these.
    return eval(source.expression, names)  # noqa: S307


def _same(again: Any, before: Any) -> bool:
    left, right = _Writer(), _Writer()
    return _spelled(left.write(again, ""), 0) == _spelled(right.write(before, ""), 0)


def _equal(value: Any, usual: Any) -> bool:
    """Return whether a parameter is at its default; what cannot be compared is not."""
    if value is usual:
        return True
    if type(value) is not type(usual) or isinstance(value, list | tuple | dict):
        return False
    same = value == usual
    return same if isinstance(same, bool) else False


def _refused(value: Any, where: str) -> ModelError:
    return ModelError(
        f"{where} cannot be written down: {_short(value)} does not say how it is made",
        allowed=("scikit-learn's estimators", "numbers, texts and lists", "functions of a library"),
        hint="write it into the model's file yourself, with the code of what it needs",
    )


def _short(value: Any, most: int = 60) -> str:
    shown = " ".join(repr(value).split())
    return shown if len(shown) <= most else f"{shown[:most]}…"


def _duration(length: timedelta) -> str:
    return f"{length.total_seconds():g}s"
