"""What a source's contract promises of the rows of a file. Pure."""

from __future__ import annotations

import dataclasses

from sqlglot import exp

from lichen.core.contract.spec import Contract, Rule
from lichen.core.findings import Severity
from lichen.stages.judge import among
from lichen.stages.sources.land import repeats
from lichen.stages.sources.spec import Source


def promises(source: Source) -> Contract:
    """Return the contract as far as single files can break it.

    A later file may correct an earlier one. A declared key stands once in a file, whether
    or not the contract says so.
    """
    key = {column.lower() for column in source.key}
    rules = [_in_its_file(rule, source) for rule in source.contract.rules]
    if key and not any(_is_key(rule, key) for rule in source.contract.rules):
        rules.append(
            Rule(
                "key.unique",
                "unique",
                Severity.quarantine,
                source.where,
                column=", ".join(source.key),
                columns=source.key,
                sql=exp.not_(repeats(source.key)),
            )
        )
    return dataclasses.replace(source.contract, rules=tuple(rules))


def _in_its_file(rule: Rule, source: Source) -> Rule:
    if rule.kind != "unique":
        return rule
    if source.key and _is_key(rule, {column.lower() for column in source.key}):
        return dataclasses.replace(rule, sql=exp.not_(repeats(source.key)))
    return among(rule, "_file")


def _is_key(rule: Rule, key: set[str]) -> bool:
    return rule.kind == "unique" and {column.lower() for column in rule.columns} == key
