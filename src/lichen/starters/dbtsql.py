"""The SQL of a dbt model with its relations named as in the new project. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from lichen.core.errors import LichenError
from lichen.core.sql import DIALECT, parse_select
from lichen.starters.manifest import Node
from lichen.starters.words import sql_name

# Dialects whose SELECTs mostly read as they stand; all others are translated as trees.
_LIKE_OURS = ("duckdb", "postgres", "redshift")
_DIALECTS = {"sqlserver": "tsql", "fabric": "tsql", "synapse": "tsql", "spark": "spark"}
_NOTE = re.compile(r"\{#.*?#\}", re.S)
_CONFIG = re.compile(r"\{\{-?\s*config\s*\((?:[^{}]|\{[^{}]*\})*\)\s*-?\}\}\s*", re.S)
_ARGUMENT = r"""\s*['"]([^'"]+)['"]\s*"""
_VERSION = r"(?:,\s*(?:v|version)\s*=\s*[^,)]+)?"
_REF = re.compile(
    r"\{\{-?\s*ref\s*\(" + _ARGUMENT + r"(?:," + _ARGUMENT + r")?" + _VERSION + r"\)\s*-?\}\}"
)
_SOURCE = re.compile(r"\{\{-?\s*source\s*\(" + _ARGUMENT + "," + _ARGUMENT + r"\)\s*-?\}\}")


class Unresolved(Exception):
    """Why a model's SQL cannot be taken over."""


@dataclass(frozen=True)
class Relations:
    """The new names: of models and seeds by name, of sources by both names, of all by relation."""

    refs: Mapping[str, str]
    sources: Mapping[tuple[str, str], str]
    stored: Mapping[tuple[str, str], tuple[str, str]]  # (schema, name) to (new name, old name)


def resolved(node: Node, relations: Relations, adapter: str) -> str:
    """Return a model's SELECT in our dialect; raises Unresolved with the reason.

    Compiled code is taken where there is some; else `ref`, `source` and `config` are resolved.
    """
    dialect = _DIALECTS.get(adapter, adapter)
    if node.compiled_code:
        return _ours(_renamed(node.compiled_code, relations, dialect), dialect)
    code = _CONFIG.sub("", _NOTE.sub("", node.raw_code))
    code = _REF.sub(lambda found: _ref(found, relations), code)
    code = _SOURCE.sub(lambda found: _source(found, relations), code)
    if "{{" in code or "{%" in code:
        found = re.search(r"\{[{%].*?[}%]\}", code, re.S)
        shown = " ".join(found[0].split())[:60] if found else "{{"
        raise Unresolved(f"{shown} needs dbt: run `dbt compile` first")
    return _ours(code, dialect)


def _ref(found: re.Match[str], relations: Relations) -> str:
    name = found[2] or found[1]
    if name not in relations.refs:
        raise Unresolved(f"it reads {name}, which was left out")
    return sql_name(relations.refs[name])


def _source(found: re.Match[str], relations: Relations) -> str:
    if (found[1], found[2]) not in relations.sources:
        raise Unresolved(f"it reads the source {found[1]}.{found[2]}, which was left out")
    return sql_name(relations.sources[found[1], found[2]])


def _renamed(code: str, relations: Relations, dialect: str) -> str:
    """Return compiled code with warehouse relations replaced by the project's own names."""
    tree = _parsed(code, dialect)
    inner = {cte.alias_or_name.lower() for cte in tree.find_all(exp.CTE)}
    for table in list(tree.find_all(exp.Table)):
        if not table.db and table.name.lower() in inner:
            continue
        place = (table.db.lower(), table.name.lower())
        if place not in relations.stored:
            raise Unresolved(f"it reads {table.sql()}, which is neither a model nor a source")
        new, old = relations.stored[place]
        alias = table.alias or (old if old != new else "")
        named = exp.Table(this=exp.to_identifier(new))
        table.replace(exp.alias_(named, alias, table=True) if alias else named)
    return tree.sql(dialect=dialect, pretty=True)


def _parsed(code: str, dialect: str) -> exp.Expr:
    try:
        return sqlglot.parse_one(code, dialect=dialect)
    except (SqlglotError, ValueError) as error:
        raise Unresolved(f"its SQL does not read: {str(error).splitlines()[0]}") from error


def _ours(code: str, dialect: str) -> str:
    """Return SQL in our dialect, as it stands if it reads so."""
    written = code.strip().rstrip(";").strip()
    if dialect not in _LIKE_OURS:
        written = _parsed(written, dialect).sql(dialect=DIALECT, pretty=True)
    try:
        parse_select(written, Path("model.sql"))
    except LichenError as error:
        raise Unresolved(error.what) from error
    return written + "\n"
