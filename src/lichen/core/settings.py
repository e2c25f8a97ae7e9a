"""Strict YAML: decoded into frozen specs, or refused with the line that is wrong."""

from __future__ import annotations

import re
from enum import Enum
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec
import yaml
from yaml.constructor import SafeConstructor

from lichen.core.errors import LichenError, ProjectError, Where
from lichen.core.typed import typed

T = TypeVar("T")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the C parser: a tenth of the time
Lines = dict[str, int]  # path inside the document, such as $.schema[0].name, to its line


def decode(text: str, into: type[T], path: Path, *, first_line: int = 1) -> T:
    """Decode a YAML text into a spec type; raises ProjectError with the offending line.

    `first_line` is the line of `path` on which `text` begins (for settings inside a comment).
    """
    value, lines = load(text, path, first_line=first_line)
    return convert(value, into, path, lines)


def load(text: str, path: Path, *, first_line: int = 1) -> tuple[Any, Lines]:
    """Parse YAML into builtins and the line of every value; duplicate keys are errors."""
    try:
        node = _compose(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = Where(path, (mark.line if mark else 0) + first_line)
        hint = "indent with spaces, never with tabs" if "'\\t'" in str(error.problem) else None
        raise ProjectError(f"this is not YAML: {error.problem}", where=where, hint=hint) from error
    except yaml.YAMLError as error:
        raise ProjectError(f"this is not YAML: {error}", where=Where(path, first_line)) from error
    lines: Lines = {"$": first_line}
    if node is None:
        return {}, lines
    return _value(node, "$", lines, path, first_line), lines


def _compose(text: str) -> yaml.Node | None:
    try:
        return yaml.compose(text, Loader=_LOADER)
    except yaml.YAMLError:
        return yaml.compose(text, Loader=yaml.SafeLoader)  # it says better what is wrong


def convert(value: Any, into: type[T], path: Path, lines: Lines) -> T:
    """Convert builtins into a spec type; raises ProjectError with the offending line."""
    try:
        return typed(value, into)
    except msgspec.ValidationError as error:
        raise _explain(str(error), into, path, lines) from error
    except LichenError as error:
        if error.where is None:
            raise type(error)(
                error.what,
                where=Where(path, lines["$"]),
                allowed=error.allowed,
                given=error.given,
                hint=error.hint,
            ) from error
        raise


def opening_comment(text: str) -> tuple[str, int]:
    """Return the YAML of the block comment that opens an SQL file, and its first line.

    >>> opening_comment("/* a: 1 */ select 1")
    (' a: 1 ', 1)
    """
    match = re.match(r"\s*/\*(.*?)\*/", text, re.DOTALL)
    if match is None:
        return "", 1
    return match[1], text.count("\n", 0, match.start(1)) + 1


def line_of(lines: Lines, path: str) -> int:
    """Return the line of a path, or of the nearest thing that holds it.

    >>> line_of({"$": 1, "$.a": 4}, "$.a.b")
    4
    """
    while path not in lines and path:
        path = re.sub(r"(\.[^.\[]+|\[[^\]]*\])$", "", path) if path != "$" else ""
    return lines.get(path or "$", 0)


def _value(node: yaml.Node, at: str, lines: Lines, path: Path, first: int) -> Any:
    lines.setdefault(at, node.start_mark.line + first)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, at, lines, path, first)
    if isinstance(node, yaml.SequenceNode):
        return [_value(n, f"{at}[{i}]", lines, path, first) for i, n in enumerate(node.value)]
    try:
        value = SafeConstructor().construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError) as error:
        where = Where(path, node.start_mark.line + first)
        raise ProjectError(f"this value does not read: {error}", where=where) from error
    # A YAML timestamp stays the text that the user wrote: our own types parse it.
    return value if isinstance(value, str | int | float | bool | None) else node.value


def _mapping(
    node: yaml.MappingNode, at: str, lines: Lines, path: Path, first: int
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, item in node.value:
        name, line = str(key.value), key.start_mark.line + first
        if name in result:
            earlier = lines[f"{at}.{name}"]
            raise ProjectError(
                f"the key {name!r} stands twice (first on line {earlier})",
                where=Where(path, line),
                hint="keep one of the two",
            )
        lines[f"{at}.{name}"] = line
        result[name] = _value(item, f"{at}.{name}", lines, path, first)
    return result


def _explain(message: str, into: type, path: Path, lines: Lines) -> ProjectError:
    text, _, at = message.partition(" - at `")
    at = at.rstrip("`") or "$"
    if match := re.match(r"Object contains unknown field `(.+)`", text):
        key = match[1]
        return ProjectError(
            f"unknown key {key!r}",
            where=Where(path, line_of(lines, f"{at}.{key}")),
            allowed=_fields_at(into, at),
            given=key,
        )
    if match := re.match(r"Object missing required field `(.+)`", text):
        return ProjectError(
            f"the key {match[1]!r} is missing", where=Where(path, line_of(lines, at))
        )
    name = at.removeprefix("$.") if at != "$" else "this file"
    where = Where(path, line_of(lines, at))
    if match := re.match(r"Invalid enum value '?(.*?)'?$", text):
        given, allowed = match[1], _choices_in(_type_at(into, at))
        return ProjectError(
            f"{name}: {given!r} is not allowed", where=where, allowed=allowed, given=given
        )
    quotes = re.search(r"got `(?:int|float|bool)`", text) and "`str" in text
    words = re.sub(r"`([a-z]+)( \| null)?`", lambda m: _WORDS.get(m[1], m[0]), text)
    return ProjectError(
        f"{name}: {words[:1].lower()}{words[1:]}",
        where=where,
        hint="put the value in quotes" if quotes else None,
    )


_WORDS = {
    "object": "keys with values", "array": "a list", "str": "a text", "int": "a whole number",
    "float": "a number", "bool": "true or false", "null": "nothing",
}  # fmt: skip


def _fields_at(into: type, at: str) -> tuple[str, ...]:
    struct = _struct_in(_type_at(into, at))
    return tuple(struct.__struct_encode_fields__) if struct else ()


def _type_at(into: type, at: str) -> Any:
    found: Any = into
    for part in re.findall(r"\.([^.\[\]]+)|\[", at.removeprefix("$")):
        found = _step_into(found, part)
    return found


def _choices_in(found: Any) -> tuple[str, ...]:
    if get_origin(found) is Literal:
        return tuple(str(value) for value in get_args(found))
    if isinstance(found, type) and issubclass(found, Enum):
        return tuple(str(member.value) for member in found)
    return tuple(value for argument in get_args(found) for value in _choices_in(argument))


def _step_into(found: Any, part: str) -> Any:
    struct = _struct_in(found)
    if struct is None or not part:
        return found
    names = dict(zip(struct.__struct_encode_fields__, struct.__struct_fields__, strict=True))
    return get_type_hints(struct).get(names.get(part, part), Any)


def _struct_in(found: Any) -> type[msgspec.Struct] | None:
    if isinstance(found, type) and issubclass(found, msgspec.Struct):
        return found
    for argument in getattr(found, "__args__", ()):
        if struct := _struct_in(argument):
            return struct
    return None
