"""Names that read well, clash with nothing, and need no quotes where that can be had. Pure."""

from __future__ import annotations

import json
import keyword
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from lichen.core.names import Kind
from lichen.core.sql import DIALECT

# What a node may not be called: our own words, and what a model's file imports.
OURS = frozenset(
    {*(kind.value for kind in Kind), "table", "source", "outcome", "request", "auto", "lichen"}
    | {"model", "service", "feature", "prediction", "none", "true", "false"}
)
_PLAIN_YAML = re.compile(r"[A-Za-z][A-Za-z0-9_./]*([ -]?[A-Za-z0-9_./]+)*$")
_SPECIAL_YAML = frozenset({"yes", "no", "on", "off", "true", "false", "null", "y", "n"})


def snake(text: str, otherwise: str) -> str:
    """Return a text as one lower-case word of letters, digits and single underscores.

    >>> snake("education-num", "x"), snake("TotalCharges", "x"), snake("2019", "year")
    ('education_num', 'total_charges', 'year_2019')
    >>> snake("__", "column_3"), snake("Größe (cm)", "x")
    ('column_3', 'grosse_cm')
    """
    parted = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", text.replace("ß", "ss"))
    plain = unicodedata.normalize("NFKD", parted).encode("ascii", "ignore").decode()
    word = re.sub(r"[^a-z0-9]+", "_", plain.lower()).strip("_")
    if not word:
        return otherwise
    return word if word[0].isalpha() else f"{otherwise}_{word}"


def column_names(header: Iterable[str]) -> tuple[str, ...]:
    """Return one clean name for each column of a header, each another one.

    >>> column_names(["a b", "A-B", "", "_id"])
    ('a_b', 'a_b_2', 'column_3', 'id')
    """
    found: list[str] = []
    for place, name in enumerate(header, 1):
        usual = snake(name, f"column_{place}" if not name.strip("_ ") else "column")
        word, nth = usual, 1
        while word in found:
            nth += 1
            word = f"{usual}_{nth}"
        found.append(word)
    return tuple(found)


def node_name(text: str, *, taken: Iterable[str] = (), beside: str = "data") -> str:
    """Return a name for a node, a Python function and a relation in FROM.

    One that is a keyword, one of our own words or taken gets `beside` after it.

    >>> node_name("german credit.2"), node_name("class"), node_name("Sources")
    ('german_credit_2', 'class_data', 'sources_data')
    """
    word = snake(text, beside)
    used = {*taken}
    reserved = keyword.iskeyword(word) or keyword.issoftkeyword(word) or word in OURS
    if reserved or word in used or not is_plain(word):
        word = f"{word}_{beside}"
    usual, nth = word, 1
    while word in used:
        nth += 1
        word = f"{usual}_{nth}"
    return word


@lru_cache
def is_plain(name: str) -> bool:
    """Return whether SQL reads a name as a column and as a relation without quotes.

    >>> is_plain("age"), is_plain("order"), is_plain("user"), is_plain("a b")
    (True, False, False, False)
    """
    if name.lower() in _RESERVED or not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        return False
    try:
        tree = sqlglot.parse_one(f"select {name}, a as {name} from {name} as t", dialect=DIALECT)  # noqa: S608
    except SqlglotError:
        return False
    if not isinstance(tree, exp.Select):
        return False
    return isinstance(tree.selects[0], exp.Column) and isinstance(tree.find(exp.Table), exp.Table)


def sql_name(name: str) -> str:
    """Return a name as SQL text, in quotes where it needs them.

    >>> sql_name("age"), sql_name("order"), sql_name("education-num")
    ('age', '"order"', '"education-num"')
    """
    return name if is_plain(name) else exp.to_identifier(name, quoted=True).sql(dialect=DIALECT)


def scalar(value: str | float) -> str:
    """Return a value as YAML that reads back as the same value.

    >>> scalar("State-gov"), scalar("no"), scalar("<=50K"), scalar("1"), scalar(3)
    ('State-gov', '"no"', '"<=50K"', '"1"', '3')
    """
    if not isinstance(value, str):
        return json.dumps(value)
    plain = _PLAIN_YAML.match(value) and value.lower() not in _SPECIAL_YAML
    return value if plain else json.dumps(value, ensure_ascii=False)


_KEYWORDS = """
    all analyse analyze and any array as asc asymmetric both case cast check collate column
    constraint create default deferrable desc describe distinct do else end except false fetch for
    foreign from group having in initially intersect into lambda lateral leading limit not null
    offset on only or order pivot placing primary qualify references returning select show some
    summarize symmetric table then to trailing true union unique unpivot user using variadic when
    where window with
    anti asof authorization binary collation concurrently cross freeze full glob ilike inner is
    isnull join left like map natural notnull outer overlaps positional right semi similar
    tablesample verbose
"""
_RESERVED = frozenset(_KEYWORDS.split())
