"""What is to be predicted: yes or no, one of several classes, or a number. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from lichen.core.errors import OutcomeError, Where
from lichen.starters.profile import MOST, Column

Task = Literal["binary", "multiclass", "regression"]
MOST_CLASSES = MOST - 1
MANY = 20  # whole numbers with more values than this are numbers, not names of classes
LEAST = 10  # rows for each value, below which a whole number is no name of a class
# Values that people mean by yes, in lower case.
_YES = (
    "yes", "y", "true", "t", "positive", "pos", "bad", "churn", "churned", "fraud", "default",
    "late", "malignant", "spam", "success", "won", "died", "survived", "failed", "failure",
)  # fmt: skip


@dataclass(frozen=True)
class Target:
    """The column to predict; `positive` is the class whose probability is meant, where named."""

    column: Column
    task: Task
    classes: tuple[str, ...] = ()
    positive: str | None = None

    @property
    def metric(self) -> str:
        """Return the metric that suits the task."""
        return {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}[self.task]


def find(columns: Sequence[Column], given: str, where: Where, what: str) -> Column:
    """Return the column that the user names, as in the file or in its clean form."""
    for same in (str, str.lower):
        for column in columns:
            if same(given) in (same(column.given), column.name):
                return column
    raise OutcomeError(
        f"{what}: there is no column {given!r}",
        where=where,
        allowed=[column.given or column.name for column in columns],
        given=given,
    )


def target(column: Column, path: Path, task: str | None, positive: str | None) -> Target:
    """Return what a column asks for; raises OutcomeError where nothing can be learned from it."""
    where, name = Where(path), column.given or column.name
    if column.distinct < 2:
        only = next(iter(column.values), None)
        raise OutcomeError(
            f"every row has the same {name}: {only}" if only else f"no row has a value of {name}",
            where=where,
            hint="predict a column that has several values",
        )
    chosen = task or _task(column, where)
    if chosen not in get_args(Task):
        raise OutcomeError(f"there is no task {chosen!r}", allowed=get_args(Task), given=chosen)
    if chosen == "regression":
        return _number(column, where, positive)
    if chosen == "binary" and column.distinct != 2:
        raise OutcomeError(
            f"{name} has {column.distinct:,} different values, and a yes/no question has two",
            where=where,
            allowed=["multiclass"] + (["regression"] if _is_number(column) else []),
        )
    if column.distinct > MOST_CLASSES:
        raise _too_many(column, where)
    classes = tuple(sorted(column.values, key=lambda value: _order(column, value)))
    if column.distinct > 2:
        return Target(column, "multiclass", classes)
    return Target(column, "binary", classes, _positive(column, classes, positive, where))


def _task(column: Column, where: Where) -> Task:
    match column.type:
        case "boolean":
            return "binary"
        case "number":
            return "regression" if column.distinct > 2 else "binary"
        case "integer":
            if column.distinct == 2:
                return "binary"
            few = column.distinct <= MANY and column.known >= LEAST * column.distinct
            return "multiclass" if few else "regression"
        case "string":
            return "binary" if column.distinct == 2 else "multiclass"
        case _:
            raise OutcomeError(
                f"{column.given} is a {column.type}, which is neither a class nor a number",
                where=where,
                hint="predict another column, or make a number of it in the file",
            )


def _number(column: Column, where: Where, positive: str | None) -> Target:
    if not _is_number(column):
        some = ", ".join([*column.values][:3])
        raise OutcomeError(
            f"{column.given} holds no numbers ({some}), so that there is no regression",
            where=where,
            allowed=["binary" if column.distinct == 2 else "multiclass"],
        )
    if positive is not None:
        raise OutcomeError("--positive names a class, and a number has none", where=where)
    return Target(column, "regression")


def _positive(
    column: Column, classes: tuple[str, ...], wish: str | None, where: Where
) -> str | None:
    if wish is not None:
        if wish not in classes:
            raise OutcomeError(
                f"--positive: {wish!r} is no value of {column.given}",
                where=where,
                allowed=classes,
                given=wish,
            )
        return wish
    if column.type == "boolean" or set(classes) == {"0", "1"}:
        return next(c for c in classes if c.lower() in ("true", "1"))
    if column.type == "integer" and sum(int(value) > 0 for value in classes) == 1:
        return next(value for value in classes if int(value) > 0)
    known = [value for value in classes if value.lower() in _YES]
    if len(known) == 1:
        return known[0]
    return min(classes, key=lambda value: (column.values[value], value))  # the rarer one


def _is_number(column: Column) -> bool:
    return column.type in ("integer", "number")


def _order(column: Column, value: str) -> tuple[float, str]:
    return (float(value) if _is_number(column) else 0.0, value)


def _too_many(column: Column, where: Where) -> OutcomeError:
    if _is_number(column):
        hint = "say --task regression if the number itself is to be predicted"
    elif column.distinct > column.known / 2:
        hint = "it looks like a name or an id: predict another column"
    else:
        hint = "put its rare values together, or predict another column"
    return OutcomeError(
        f"{column.given} has {column.distinct:,} different values; a model tells at most "
        f"{MOST_CLASSES} classes apart",
        where=where,
        hint=hint,
    )
