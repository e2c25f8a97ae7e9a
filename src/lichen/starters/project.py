"""The files of a project that predicts a column of one CSV file. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from lichen.starters.contract import contract
from lichen.starters.profile import Column
from lichen.starters.raw import Raw
from lichen.starters.target import Target
from lichen.starters.words import node_name, scalar, snake, sql_name

SHARE = 0.2  # of the rows judge


@dataclass(frozen=True)
class Names:
    """What the files are called: `source`, `table` (features too), `goal` (outcome, model, …)."""

    source: str
    table: str
    goal: str


@dataclass(frozen=True)
class Choice:
    """What the project is about; `key` and `time` are columns, or None.

    `edge` is the moment after which a fifth of the rows lies, where there is a time.
    """

    raw: Raw
    columns: tuple[Column, ...]
    target: Target
    names: Names
    now: datetime
    key: Column | None = None
    time: Column | None = None
    edge: datetime | None = None

    @property
    def feed(self) -> str:
        """Return the path of the file that the source reads."""
        return f"feeds/{self.names.table}.csv"

    @property
    def left_out(self) -> dict[str, str]:
        """Return the columns that are no features, with the reason."""
        told = {self.target.column.name: "it is what is predicted"}
        if self.key is not None:
            told.setdefault(self.key.name, "it is the key")
        if self.time is not None:
            told.setdefault(self.time.name, "it is the time of the question")
        for column in self.columns:
            if _is_name_of_row(column):
                told.setdefault(column.name, "every row has a value of its own")
            elif column.distinct < 2:
                told.setdefault(column.name, "it has one value only")
        return told

    @property
    def features(self) -> list[str]:
        """Return the columns that the model sees."""
        return [c.name for c in self.columns if c.name not in self.left_out]


def names(stem: str, goal: str) -> Names:
    """Return what the files are called, after the CSV file and the column to predict.

    >>> names("german-credit", "class")
    Names(source='german_credit_csv', table='german_credit', goal='class_outcome')
    """
    table = node_name(stem)
    return Names(f"{table}_csv", table, node_name(goal, taken=[table], beside="outcome"))


def files(choice: Choice, title: str) -> dict[str, str]:
    """Return the text of every file but the feed, by path."""
    to = choice.names
    return {
        "lichen.yml": f"name: {scalar(title)}\n",
        ".gitignore": ".lichen/\n",
        f"sources/{to.source}.yml": _source(choice),
        f"sources/{to.source}.odcs.yaml": contract(
            to.source,
            choice.feed,
            choice.columns,
            choice.key.name if choice.key else None,
            choice.target.column.name,
        ),
        f"tables/{to.table}.sql": _table(choice),
        f"features/{to.table}.sql": _features(choice),
        f"outcomes/{to.goal}.sql": _outcome(choice),
        f"models/{to.goal}.py": _model(choice),
        f"services/{to.goal}.yml": f"# Answers over HTTP: lichen serve\nmodel: {to.goal}\n",
        "README.md": _readme(choice, title),
    }


def example(choice: Choice) -> dict[str, object]:
    """Return a whole row that the service takes: the most frequent value of each feature."""
    by_name = {column.name: column for column in choice.columns}
    return {name: _typed(by_name[name]) for name in choice.features}


def _typed(column: Column) -> object:
    value = next(iter(column.values))
    if column.type == "integer":
        return int(value)
    if column.type == "number":
        return float(value)
    return value.lower() == "true" if column.type == "boolean" else value


def _source(choice: Choice) -> str:
    lines = [f"# Put a newer file in its place and run again: what changed is taken in.\n"
             f"path: {choice.feed}"]  # fmt: skip
    if choice.raw.repairs:
        lines.append("prepare: prepare.py  # makes the feed of your file; it says why")
    if choice.key is not None:
        lines.append(f"key: {scalar(choice.key.raw)}")
    if choice.time is not None:
        lines.append(f"known_at: {_yaml_sql(choice.time.raw)}")
        lines.append(
            "# The file is a history: a row was known when it says so, whenever it lands;\n"
            "# a changed row from then on. Where rows come late, say until when that holds.\n"
            "backfill_until: 2100-01-01"
        )
    return "\n".join(lines) + "\n"


def _table(choice: Choice) -> str:
    shown = [_selected(column) for column in choice.columns]
    why = "-- Names and values as the rest of the project reads them. Clean and derive here.\n"
    return f"{why}select\n  " + ",\n  ".join(shown) + f"\nfrom {choice.names.source}\n"


def _selected(column: Column) -> str:
    value = sql_name(column.raw)
    if column.spaced:
        value = f"trim({value})"
    plain = value == sql_name(column.name)
    return value if plain else f"{value} as {sql_name(column.name)}"


def _features(choice: Choice) -> str:
    left = [
        f"-- {name} is left out: {why}.\n"
        for name, why in choice.left_out.items()
        if name != choice.target.column.name
    ]
    shown = ",\n  ".join(map(sql_name, choice.features))
    return (
        "/*\n# They come with the question itself: the service is sent whole rows.\n"
        f"at: request\n*/\n{''.join(left)}select\n  {shown}\nfrom request\n"
    )


def _outcome(choice: Choice) -> str:
    lines = []
    if choice.key is not None:
        lines.append(f"key: {choice.key.name}")
    if choice.time is not None:
        lines.append(f"predict_at: {_yaml_sql(choice.time.name)}")
        lines.append(
            "# Nothing in the file says when the answer became known, so it counts as known with "
            "its row.\n# If that was later, name the moment: known_at: COLUMN"
        )
    lines.append(f"label: {_label(choice.target)}")
    told = "\n".join(lines)
    return f"/*\n{told}\n*/\nselect * from {choice.names.table}\n"


def _label(target: Target) -> str:
    column, name = target.column, sql_name(target.column.name)
    if column.type == "number" and target.task == "binary":
        return f"{name} = {target.positive}" if name[0] != '"' else f"'{name} = {target.positive}'"
    if column.type == "number" and target.task == "multiclass":
        return f"cast({name} as varchar)" if name[0] != '"' else f"'cast({name} as varchar)'"
    return _yaml_sql(target.column.name)


def _yaml_sql(name: str) -> str:
    """Return a column as an SQL expression inside YAML."""
    written = sql_name(name)
    return written if written == name else f"'{written}'"


def _model(choice: Choice) -> str:
    target, to = choice.target, choice.names
    settings = [f'target="{to.goal}"', f'metric="{target.metric}"']
    if _named_positive(target) is not None:
        settings.append(f"positive={_named_positive(target)}")
    if choice.edge is not None:
        days = max(1, -(-(choice.now - choice.edge) // timedelta(days=1)))
        settings.append(f'holdout="{days} days"')
    else:
        settings.append(f"holdout={SHARE}")
    settings.append(f'retrain={{"labels": {_enough(choice)}}}')
    asked = "\n".join(f"    {setting}," for setting in settings)
    return (
        f"from lichen import auto, model\n\n\n{_remarks(choice)}@model(\n{asked}\n)\n"
        f"def {to.goal}({to.table}):  # the name of each argument is that of features\n"
        f'    return auto(budget="{_budget(choice)}")  # or any scikit-learn estimator\n'
    )


def _remarks(choice: Choice) -> str:
    said = []
    if choice.edge is None:
        said.append("A fifth of the rows judges: by a hash of the row, so that none changes sides.")
    else:
        said.append(
            f"The newest fifth of the rows judges: what is later than {choice.edge:%Y-%m-%d}."
        )
    said.append(f"It is trained again once there are {_enough(choice):,} new labelled rows.")
    return "".join(f"# {line}\n" for line in said)


def _named_positive(target: Target) -> str | None:
    """Return the setting that says what yes is, where the label is not already yes or no."""
    if target.positive is None or target.column.type in ("boolean", "number"):
        return None
    if target.column.type == "integer":
        return None if set(target.classes) == {"0", "1"} else target.positive
    return json.dumps(target.positive, ensure_ascii=False)


def _enough(choice: Choice) -> int:
    """Return how many new labelled rows are worth a training: a twentieth of those at first."""
    return max(1, choice.columns[0].rows // 20)


def _budget(choice: Choice) -> str:
    rows = choice.columns[0].rows
    return "3s" if rows <= 2_000 else "20s" if rows <= 20_000 else "60s"


def _is_name_of_row(column: Column) -> bool:
    """Whether a column only tells rows apart: a text, or a whole number that is called an id."""
    if column.known < 50 or column.distinct < column.known:
        return False
    words = snake(column.name, "x").split("_")
    counted = column.type == "integer" and ({"id", "index", "unnamed", "column"} & {*words})
    return column.type == "string" or bool(counted)


def _readme(choice: Choice, title: str) -> str:
    to = choice.names
    row = json.dumps(example(choice), ensure_ascii=False)
    parts: Mapping[str, str] = {
        choice.feed: "the rows: a copy of your file"
        + (", made readable by `prepare.py`" if choice.raw.repairs else ""),
        f"sources/{to.source}.yml": "where the rows come from; beside it the contract, which "
        "says what they promise",
        f"tables/{to.table}.sql": "the rows as the project reads them",
        f"features/{to.table}.sql": "what the model sees of a row",
        f"outcomes/{to.goal}.sql": "what is to be predicted",
        f"models/{to.goal}.py": "what is learnt, and by what it is judged",
        f"services/{to.goal}.yml": "the model behind an API",
    }
    listed = "".join(f"- `{path}`: {what}\n" for path, what in parts.items())
    commands = "\n".join(_commands(choice, row))
    return (
        f"# {title}\n\n{sentence(choice)}\n\n{listed}\n"
        f"```sh\n{commands}\n```\n\n"
        f"A newer file goes to `{_place_of_new(choice)}`; `lichen run` takes in what changed.\n"
    )


def _place_of_new(choice: Choice) -> str:
    return f"data/{choice.raw.path.name}" if choice.raw.repairs else choice.feed


def _commands(choice: Choice, row: str) -> Iterator[str]:
    to = choice.names
    yield "lichen plan"
    yield "lichen run"
    yield f"lichen show models.{to.goal}"
    quoted = row.replace("'", "'\\''")
    yield f"lichen predict {to.goal} --row '{quoted}'"
    yield "lichen serve"


def sentence(choice: Choice) -> str:
    """Return in words what the project predicts."""
    target, column = choice.target, choice.target.column
    if target.task == "regression":
        return f"It predicts the number {column.name}."
    if target.task == "binary":
        share = column.values.get(str(target.positive), 0) / max(column.known, 1)
        return f"It predicts {column.name}: yes means {target.positive} ({share:.1%} of the rows)."
    return f"It predicts {column.name}, one of {_listed(target.classes)}."


def _listed(classes: Sequence[str]) -> str:
    shown = ", ".join(classes[:8])
    return shown if len(classes) <= 8 else f"{shown} and {len(classes) - 8} more"
