"""A function that gives a table: what its file declares, read by its syntax tree. Pure."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlglot import exp

from lichen.core.contract.spec import Contract
from lichen.core.contract.types import storable
from lichen.core.decorated import Decorated
from lichen.core.errors import TableError, Where
from lichen.core.settings import line_of
from lichen.core.sql import col, rel

RETURNED = "_returned"  # the relation that holds what the function gave

# What a function may ask to be given, by the annotation of an argument.
FRAMES = {
    "arro3.core.Table": "arrow",
    "pandas.DataFrame": "pandas",
    "polars.DataFrame": "polars",
}


@dataclass(frozen=True)
class Function:
    """A user's function, imported only to run it.

    `inputs` are names of tables and sources as they are written, later their ids; `frames` says
    for each what it is given as: `arrow`, `pandas` or `polars`. `types` are the columns that it
    promises, with DuckDB's types. `events` says that its rows are features of an entity.
    """

    path: Path
    name: str
    line: int
    inputs: tuple[str, ...]
    frames: tuple[str, ...]
    types: Mapping[str, str]
    events: bool = False

    def select(self) -> exp.Select:
        """Return the SELECT of what the function gave."""
        return exp.select(*map(col, self.types)).from_(rel(RETURNED))


def read_function(
    found: Decorated, inputs: Sequence[str], columns: Mapping[str, str], contract: Contract | None
) -> Function:
    """Return the function below a decorator; raises TableError with the line.

    Its arguments name its inputs unless `inputs` does. Its columns are `columns`, or else those
    of the contract beside the file.
    """
    function = found.function
    arguments = _arguments(found)
    names = tuple(inputs) or tuple(argument.arg for argument in arguments)
    if not names or len(names) != len(arguments):
        raise TableError(
            f"inputs names {len(names)}, and {function.name} has {len(arguments)} to be given"
            if names
            else f"{function.name} reads nothing",
            where=Where(found.path, function.lineno),
            hint="each argument stands for a table or a source",
        )
    return Function(
        path=found.path,
        name=function.name,
        line=function.lineno,
        inputs=names,
        frames=tuple(_frame(argument, found) for argument in arguments),
        types=_types(found, columns, contract),
    )


def _arguments(found: Decorated) -> list[ast.arg]:
    """Return the arguments that are to be given: those without a default."""
    written = found.function.args
    if written.vararg or written.kwarg or any(d is None for d in written.kw_defaults):
        raise TableError(
            f"{found.function.name} must name each of its inputs as an argument of its own",
            where=Where(found.path, found.function.lineno),
        )
    plain = [*written.posonlyargs, *written.args]
    return plain[: len(plain) - len(written.defaults)]


def _frame(argument: ast.arg, found: Decorated) -> str:
    if argument.annotation is None:
        return "arrow"
    written = _unquoted(argument.annotation)
    head, dot, rest = written.partition(".")
    meant = f"{found.imported.get(head, head)}{dot}{rest}"
    if meant not in FRAMES:
        raise TableError(
            f"{argument.arg}: {written} is nothing that rows can be given as",
            where=Where(found.path, argument.lineno),
            allowed=FRAMES,
            given=meant,
            hint="without an annotation it is an arro3.core.Table",
        )
    return FRAMES[meant]


def _unquoted(annotation: ast.expr) -> str:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        return annotation.value
    return ast.unparse(annotation)


def _types(
    found: Decorated, columns: Mapping[str, str], contract: Contract | None
) -> dict[str, str]:
    if columns:
        where = Where(found.path, line_of(found.lines, "$.columns"))
        return {name: storable(type_, name, where) for name, type_ in columns.items()}
    if contract is None:
        raise TableError(
            f"which columns does {found.function.name} give?",
            where=Where(found.path, found.lines["$"]),
            hint='write columns={"NAME": "varchar", …} into its decorator, or a contract, '
            f"{found.path.stem}.odcs.yaml, beside it",
        )
    return {column.name: column.type for column in contract.columns}
