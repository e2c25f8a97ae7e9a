"""Logical fingerprints per column: what a definition means, not how it is written.

A fingerprint covers the normalised expression and the fingerprints of what it reads; formatting,
comments and aliases of tables do not enter. The leaves are the columns of sources as their
contracts declare them; which data is there is recorded separately, as sequences.
"""

from __future__ import annotations

from collections.abc import Mapping

from sqlglot import exp

from lichen.core.digest import Print, digest
from lichen.core.sql import text


def fingerprint(select: exp.Select, inputs: Mapping[str, Print], *extra: str) -> Print:
    """Fingerprint a SELECT whose columns are all qualified and whose stars are expanded.

    `inputs` gives the prints of the relations by the alias that qualifies their columns; `extra`
    holds texts that change the rows, such as a declared key.
    """
    nested = any(s is not select for s in select.find_all(exp.Select))
    body = select.copy()
    if nested:  # a query in a query: every input counts whole
        seen = [digest(alias, p.whole()) for alias, p in sorted(inputs.items())]
        whole = digest(normal(body), *seen, *extra)
        return Print(whole, {name: digest(whole, name) for name in select.named_selects})
    columns = {
        projection.alias_or_name: digest(normal(_resolved(projection.unalias(), inputs)))
        for projection in select.expressions
    }
    body.set("expressions", [exp.Literal.number(1)])
    return Print(digest(normal(_resolved(body, inputs)), *extra), columns)


def normal(tree: exp.Expr) -> str:
    """Return a tree's canonical text: no comments, one spelling.

    >>> import sqlglot
    >>> normal(sqlglot.parse_one("A  + /* why */ 1"))
    'a + 1'
    """
    bare = tree.copy()
    for node in bare.walk():
        node.comments = None
        if isinstance(node, exp.Identifier):
            node.set("quoted", None)
            node.set("this", node.name.lower())
    return text(bare)


def _resolved(tree: exp.Expr, inputs: Mapping[str, Print]) -> exp.Expr:
    def resolve(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Column) and node.table in inputs:
            print_ = inputs[node.table]
            found = print_.columns.get(node.name)
            if found is not None:
                return exp.column(f"c_{found}", table=f"t_{print_.rows}")
        if isinstance(node, exp.Table) and node.alias_or_name in inputs:
            return exp.table_(f"t_{inputs[node.alias_or_name].rows}")
        return node

    return tree.copy().transform(resolve)
