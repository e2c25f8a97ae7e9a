"""`init --from FILE.csv --predict COLUMN` writes a project that reads, whatever the file is."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from lichen.cli import main
from lichen.core.sql import parse_select
from lichen.declared import Project
from lichen.project import read_project
from lichen.stages.models.spec import Model
from lichen.stages.sources.spec import Source

Rows = Sequence[Sequence[object]]
Made = Callable[..., Project]


def rows(*columns: Callable[[random.Random], object], count: int = 120) -> Rows:
    """Return rows whose columns are drawn by chance, the same ones each time."""
    return [[column(random.Random(f"{i}-{j}")) for j, column in enumerate(columns)]
            for i in range(count)]  # fmt: skip


def pick(*values: object) -> Callable[[random.Random], object]:
    return lambda chance: chance.choice(values)


def number(chance: random.Random) -> str:
    return f"{chance.gauss(5, 2):.2f}"


def text(header: Sequence[str], body: Rows, delimiter: str = ",") -> str:
    def field(value: object) -> str:
        shown = str(value)
        return f'"{shown}"' if delimiter in shown else shown

    return "\n".join(delimiter.join(map(field, row)) for row in [header, *body]) + "\n"


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """Write a CSV file and make a project of it; returns the project as it reads."""

    def make(
        name: str, content: str, predict: str, *words: str, encoding: str = "utf-8"
    ) -> Project:
        file = tmp_path / name
        file.write_text(content, encoding, newline="")
        place = tmp_path / "made"
        assert main(["init", str(place), "--from", str(file), "--predict", predict, *words]) == 0
        return read_project(place)

    return make


def one(project: Project, kind: type[Any]) -> Any:
    (found,) = project.of(kind)
    return found


def contract(project: Project) -> dict[str, dict[str, Any]]:
    """Return the properties of the source's contract, by column."""
    (path,) = project.root.glob("sources/*.odcs.yaml")
    (table,) = yaml.safe_load(path.read_text("utf-8"))["schema"]
    return {column["name"]: column for column in table["properties"]}


def selected(project: Project) -> list[str]:
    """Return the columns that the model sees."""
    (path,) = project.root.glob("features/*.sql")
    return parse_select(path.read_text("utf-8"), path).named_selects


def test_the_files_are_named_after_the_csv_and_its_column(made: Made) -> None:
    body = rows(number, pick("a", "b"), pick("no", "yes"))
    project = made("Bank Loans-2024.csv", text(["x", "y", "is Paid"], body), "is Paid")
    assert sorted(map(str, project.nodes)) == [
        "features.bank_loans_2024",
        "models.is_paid",
        "outcomes.is_paid",
        "services.is_paid",
        "sources.bank_loans_2024_csv",
        "tables.bank_loans_2024",
    ]
    assert project.name == "made"
    copied = project.root / "data" / "Bank Loans-2024.csv"
    assert copied.read_bytes() == (project.root.parent / "Bank Loans-2024.csv").read_bytes()


@pytest.mark.parametrize(
    ("file", "goal"),
    [
        ("class", "class"), ("select", "order"), ("sources", "model"), ("table", "auto"),
        ("request", "lambda"), ("model", "user"), ("y", "y"), ("lichen", "predictions"),
        ("2024", "tables"), ("_", "x_y"),
    ],
)  # fmt: skip
def test_words_of_ours_of_python_and_of_sql_are_no_trouble(
    made: Made, file: str, goal: str
) -> None:
    body = rows(number, pick("a", "b"), pick("no", "yes"))
    project = made(f"{file}.csv", text(["group", "x", goal], body), goal)
    assert len(project.nodes) == 6
    assert selected(project) == ["group", "x"]


HEADERS = {
    "dashes": (["education-num", "hours-per-week", "y"], ["education_num", "hours_per_week"]),
    "spaces and signs": (["Charges (k$)", "a.b", "y"], ["charges_k", "a_b"]),
    "twice": (["a", "A", "y"], ["a", "a_2"]),
    "empty": (["", "  ", "y"], ["column_1", "column_2"]),
    "underscores": (["_id", "__x__y", "y"], ["id", "x_y"]),
    "letters": (["größe", "prénom", "y"], ["grosse", "prenom"]),
    "camels": (["TotalCharges", "seniorCitizen", "y"], ["total_charges", "senior_citizen"]),
    "quotes": (['say ""hi""', "it's", "y"], ["say_hi", "it_s"]),
    "years": (["2019", "2020", "y"], ["column_2019", "column_2020"]),
    "of the system": (["_row", "_known_at", "y"], ["row", "known_at"]),
}


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_odd_headers_become_names(made: Made, name: str, delimiter: str) -> None:
    header, clean = HEADERS[name]
    quoted = [f'"{column}"' if '"' in column else column for column in header]
    body = rows(number, pick(1, 2, 3), pick("no", "yes"))
    lines = text(["#", "#", "#"], body, delimiter).partition("\n")[2]
    project = made("f.csv", delimiter.join(quoted) + "\n" + lines, "y")
    assert selected(project) == clean
    again = read_project(project.root)
    (listed,) = project.root.glob("feeds/f.csv")
    assert len(listed.read_text("utf-8").splitlines()) == 121
    assert [c.name for c in one(again, Source).contract.columns][2] == "y"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_other_encodings_are_read(made: Made, encoding: str) -> None:
    body = rows(number, pick("süß", "sauer"), pick("no", "yes"))
    project = made("f.csv", text(["x", "taste", "y"], body), "y", encoding=encoding)
    rule = contract(project)["taste"]["quality"][0]
    assert rule["arguments"]["validValues"] == ["sauer", "süß"]


def test_the_contract_says_what_was_seen(made: Made) -> None:
    body = rows(
        number, pick(1, 5, ""), pick("00123", "04555"), pick("True", "false"),
        pick("2024-01-05", "2024-02-01"), pick("2024-01-05 10:00:00", "2024-01-05T11:30:00Z"),
        pick("red", "no", "?"), pick(" a", " b"), lambda c: c.randrange(10**6), pick("n", "y"),
    )  # fmt: skip
    header = ["x", "age", "zip", "old", "day", "at", "colour", "spaced", "many", "target"]
    project = made("f.csv", text(header, body), "target", "--positive", "n")
    told = contract(project)
    assert {name: column["logicalType"] for name, column in told.items()} == {
        "x": "number", "age": "integer", "zip": "string", "old": "boolean", "day": "date",
        "at": "timestamp", "colour": "string", "spaced": "string", "many": "integer",
        "target": "string",
    }  # fmt: skip
    required = {name for name, column in told.items() if column.get("required")}
    assert required == {"x", "zip", "old", "day", "at", "spaced", "many"}
    assert told["age"]["logicalTypeOptions"] == {"minimum": 0}
    assert [name for name in told if "logicalTypeOptions" in told[name]] == ["age"]
    assert told["colour"]["customProperties"][0]["value"] == ["?"]
    (rule,) = told["colour"]["quality"]
    assert rule["arguments"]["validValues"] == ["no", "red"]
    assert rule["severity"] == "warn"
    assert one(project, Model).positive == "n"


def test_numbers_with_words_for_nothing_are_numbers(made: Made) -> None:
    body = rows(pick("1.5", "2", "?", "NA", "-"), pick("None", "some"), number)
    project = made("f.csv", text(["a", "b", "y"], body), "y")
    told = contract(project)
    assert told["a"]["logicalType"] == "number"
    assert told["a"]["customProperties"][0]["value"] == ["-", "?", "NA"]
    assert "customProperties" not in told["b"]  # in a text, None may be a kind


TARGETS = [
    (pick(0, 1), (), "binary", "roc_auc", None),
    (pick("true", "False"), (), "binary", "roc_auc", None),
    (pick("<=50K", "<=50K", ">50K"), (), "binary", "roc_auc", ">50K"),
    (pick("good", "good", "bad"), (), "binary", "roc_auc", "bad"),
    (pick("Yes", "Yes", "No"), (), "binary", "roc_auc", "Yes"),
    (pick("Yes", "Yes", "No"), ("--positive", "No"), "binary", "roc_auc", "No"),
    (pick(1, 1, 2), (), "binary", "roc_auc", 2),
    (pick(-1, 1, 1), (), "binary", "roc_auc", 1),
    (pick("a", "b", "c"), (), "multiclass", "log_loss", None),
    (pick(3, 4, 5), (), "multiclass", "log_loss", None),
    (pick(3, 4, 5), ("--task", "regression"), "regression", "rmse", None),
    (lambda c: c.randrange(500), (), "regression", "rmse", None),
    (number, (), "regression", "rmse", None),
]


@pytest.mark.parametrize(("column", "words", "task", "metric", "positive"), TARGETS)
def test_the_column_sets_the_task(
    made: Made,
    capsys: pytest.CaptureFixture[str],
    column: Callable[[random.Random], object],
    words: tuple[str, ...],
    task: str,
    metric: str,
    positive: object,
) -> None:
    content = text(["x", "z", "y"], rows(number, pick("u", "v"), column))
    model = one(made("f.csv", content, "y", *words), Model)
    assert (model.metric, model.positive) == (metric, positive)
    said = capsys.readouterr().out
    expected = {"binary": "It predicts y: yes means ", "multiclass": "It predicts y, one of "}
    assert expected.get(task, "It predicts the number y.") in said


def test_what_only_names_a_row_is_no_feature(made: Made) -> None:
    body = [[i, f"n{i}", 7, *row] for i, row in enumerate(rows(number, pick("no", "yes")))]
    project = made("f.csv", text(["customer_id", "name", "always", "x", "y"], body), "y")
    assert selected(project) == ["x"]


def test_a_key_identifies_rows_and_is_no_feature(made: Made) -> None:
    body = [[f"n-{i}", *row] for i, row in enumerate(rows(number, pick("no", "yes")))]
    content = text(["order-no", "x", "y"], body)
    project = made("f.csv", content, "y", "--key", "order-no")
    assert one(project, Source).key == ("order-no",)
    assert project.columns[project.node("outcomes.y")] == ("order_no", "x", "y")
    assert selected(project) == ["x"]


def test_a_time_dates_the_rows_and_the_newest_fifth_is_held_out(made: Made) -> None:
    days = [f"2024-{1 + i // 28:02}-{1 + i % 28:02}" for i in range(120)]
    body = [[day, *row] for day, row in zip(days, rows(number, pick("no", "yes")), strict=True)]
    project = made("f.csv", text(["when", "x", "y"], body), "y", "--time", "when")
    source, model = one(project, Source), one(project, Model)
    assert source.known_at.name == "when" and source.backfill_until is not None
    assert not isinstance(model.holdout, float) and model.holdout.days > 100
    assert selected(project) == ["x"]


def test_a_plain_file_is_copied_as_it_is(made: Made) -> None:
    content = text(["x", "y"], rows(number, pick("no", "yes")))
    project = made("f.csv", content, "y")
    assert (project.root / "feeds/f.csv").read_text("utf-8") == content
    assert one(project, Source).prepare is None
    assert not list(project.root.parent.glob(".made*"))
