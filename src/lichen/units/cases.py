"""What `tests/NODE.yml` says: named cases of given rows and expected rows, read strictly. Pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from lichen.core.errors import ProjectError, Where, placed
from lichen.core.names import Kind, Name
from lichen.core.settings import Lines, convert, line_of, load
from lichen.core.time import Instant, instant
from lichen.declared import Project
from lichen.units.subject import Subject, subject_of

FOLDER = "tests"
Rows = list[dict[str, Any]] | str  # a list of mappings, or CSV text with a header


class FileSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What `tests/NODE.yml` may say."""

    cases: dict[str, Any]
    node: str | None = None
    note: str | None = None


class CaseSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a case may say."""

    given: dict[str, Rows] = {}
    now: str | None = None
    expect: Rows | None = None
    questions: list[dict[str, Any]] = []
    quarantine: dict[str, Rows] | None = None
    note: str | None = None


@dataclass(frozen=True)
class Row:
    """A row as written, by column; `lines` says where each value stands, `line` where the row."""

    values: Mapping[str, Any]
    path: Path
    line: int
    lines: Mapping[str, int]

    def where(self, column: str) -> Where:
        """Return where the value of a column stands."""
        return Where(self.path, self.lines.get(column, self.line))


@dataclass(frozen=True)
class Question:
    """A question to features and the answer that is expected: None for nothing at all."""

    asked: Row
    at: Instant | None
    expect: Row | None


@dataclass(frozen=True)
class Case:
    """One test: what is given by the id of each input, and what is expected of the node."""

    subject: Subject
    title: str
    where: Where
    given: Mapping[str, tuple[Row, ...]]
    now: Instant | None
    expect: tuple[Row, ...] | None
    questions: tuple[Question, ...]
    quarantine: Mapping[str, tuple[Row, ...]] | None


def read_cases(project: Project) -> tuple[Case, ...]:
    """Read all tests of a project; raises LichenError at the first mistake, with file and line."""
    folder = project.root / FOLDER
    for path in sorted(folder.rglob("*.yaml")):
        raise ProjectError(
            "tests are read from files that end in .yml",
            where=Where(path),
            hint=f"rename it to {path.stem}.yml",
        )
    files = (p for p in sorted(folder.rglob("*.yml")) if not p.name.startswith((".", "_")))
    return tuple(case for path in files for case in _cases(path, project))


def _cases(path: Path, project: Project) -> Iterator[Case]:
    value, lines = load(path.read_text("utf-8"), path)
    settings = convert(value, FileSettings, path, lines)
    named = Where(path, line_of(lines, "$.node") if settings.node else 0)
    subject = subject_of(_node(settings.node or path.stem, project, named), project, named)
    for title, said in settings.cases.items():
        at = f"$.cases.{title}"
        within = {f"${k.removeprefix(at)}": n for k, n in lines.items() if _below(k, at)}
        yield _Reader(path, within, subject, project).case(title, said)


def _below(key: str, at: str) -> bool:
    return key == at or key.startswith((f"{at}.", f"{at}["))


def _node(written: str, project: Project, where: Where) -> Name:
    try:
        return project.node(written)
    except ProjectError as error:
        raise ProjectError(
            error.what,
            where=where,
            allowed=error.allowed,
            given=error.given,
            hint="name the file after a node (or KIND.NODE), or write node: KIND.NODE into it",
        ) from error


@dataclass(frozen=True)
class _Reader:
    """Reads one case; `lines` count from the case."""

    path: Path
    lines: Lines
    subject: Subject
    project: Project

    def case(self, title: str, said: Any) -> Case:
        settings = convert(said, CaseSettings, self.path, self.lines)
        self._refuse(settings)
        quarantine = None
        if settings.quarantine is not None:
            quarantine = {
                rule: self.rows(rows, f"$.quarantine.{rule}", self.subject.columns)
                for rule, rows in settings.quarantine.items()
            }
        expect = None
        if settings.expect is not None:
            expect = self.rows(settings.expect, "$.expect", self.subject.expected)
        now = None
        if settings.now is not None:
            with placed(self.at("$.now"), "now"):
                now = instant(settings.now)
        return Case(
            subject=self.subject,
            title=title,
            where=self.at("$"),
            given=self.given(settings.given),
            now=now,
            expect=expect,
            questions=tuple(
                self.question(each, f"$.questions[{i}]")
                for i, each in enumerate(settings.questions)
            ),
            quarantine=quarantine,
        )

    def at(self, path: str) -> Where:
        return Where(self.path, line_of(self.lines, path))

    def given(self, said: Mapping[str, Rows]) -> dict[str, tuple[Row, ...]]:
        """Return the rows by the id of their input; each input must be named."""
        named = {
            spelled: name for name in self.subject.inputs for spelled in (str(name), name.name)
        }
        found: dict[str, tuple[Row, ...]] = {}
        for written, rows in said.items():
            where = f"$.given.{written}"
            if written not in named:
                raise ProjectError(
                    f"{self.subject.name} does not read {written!r}",
                    where=self.at(where),
                    allowed=[n.name for n in self.subject.inputs],
                    given=written,
                )
            name = named[written]
            found[str(name)] = self.rows(rows, where, self.subject.given_columns(name))
        for name in self.subject.needed:
            if str(name) not in found:
                raise ProjectError(
                    f"{self.subject.name} reads {name}, and no rows of it are given",
                    where=self.at("$.given"),
                    hint=f"write `{name.name}: []` below given for none",
                )
        return found

    def rows(self, said: Rows, at: str, allowed: Iterable[str]) -> tuple[Row, ...]:
        columns = tuple(allowed)
        if isinstance(said, str):
            return self._csv(said, at, columns)
        found = self._listed(said, at)
        for row in found:
            for name in row.values:
                _refuse_unknown(name, columns, row.where(name))
        return found

    def question(self, said: Mapping[str, Any], at: str) -> Question:
        row = self._row(said, at)
        asked = {n: v for n, v in said.items() if n not in ("at", "expect")}
        self.rows([asked], at, self.subject.asked)
        if self.subject.timed and said.get("at") is None:
            raise ProjectError("a question needs a time: at", where=self.at(at))
        if "expect" not in said:
            raise ProjectError(
                "a question needs the answer that is expected: expect",
                where=self.at(at),
                hint="`expect: {COLUMN: VALUE}`, or `expect: null` where nothing is known",
            )
        answer = said["expect"]
        if answer is not None and not isinstance(answer, dict):
            raise ProjectError("expect: keys with values, or null", where=row.where("expect"))
        if answer is not None:
            (expect,) = self.rows([answer], f"{at}.expect", self.subject.expected)
        moment = None
        if said.get("at") is not None:
            with placed(row.where("at"), "at"):
                moment = instant(str(said["at"]))
        lines = {n: self.at(f"{at}.{n}").line for n in asked}
        return Question(
            Row(asked, self.path, row.line, lines), moment, expect if answer is not None else None
        )

    def _refuse(self, settings: CaseSettings) -> None:
        asks = self.subject.kind is Kind.features
        wrong = "expect" if asks else "questions"
        if getattr(settings, wrong) or (asks and settings.expect is not None):
            hint = "with `questions`" if asks else "with `expect`"
            raise ProjectError(
                f"{self.subject.kind.value} are not tested with {wrong!r}",
                where=self.at(f"$.{wrong}"),
                hint=f"say what is expected of them {hint}",
            )
        if not settings.questions and settings.expect is None and settings.quarantine is None:
            words = "questions" if asks else "expect"
            raise ProjectError(f"nothing is expected: add {words!r}", where=self.at("$"))
        for rule in settings.quarantine or ():
            self._refuse_rule(rule, settings.given)

    def _refuse_rule(self, rule: str, given: Collection[str]) -> None:
        where, rules = self.at(f"$.quarantine.{rule}"), self.subject.rules
        if rule not in rules:
            raise ProjectError(
                f"no rule {rule!r} holds rows of {self.subject.name} back",
                where=where,
                allowed=rules,
                given=rule,
            )
        refers = rules[rule].refers_to
        if refers is not None and refers.name not in given:
            raise ProjectError(
                f"the rule {rule} looks into {refers.name}, and no rows of it are given",
                where=where,
                hint=f"write `{refers.name}: [...]` below given",
            )

    def _listed(self, said: Sequence[Mapping[str, Any]], at: str) -> tuple[Row, ...]:
        numbered = len(said) != 1 or f"{at}[0]" in self.lines
        return tuple(self._row(row, f"{at}[{i}]" if numbered else at) for i, row in enumerate(said))

    def _row(self, said: Mapping[str, Any], at: str) -> Row:
        lines = {name: self.at(f"{at}.{name}").line for name in said}
        return Row(said, self.path, self.at(at).line, lines)

    def _csv(self, said: str, at: str, columns: Sequence[str]) -> tuple[Row, ...]:
        """Read CSV text; an empty field is no value."""
        reader = csv.DictReader(io.StringIO(said), restkey="…")
        begins = self.at(at).line  # the text begins on the line below its `|`
        for name in reader.fieldnames or ():
            _refuse_unknown(name, columns, Where(self.path, begins + 1))
        rows = []
        for record in reader:
            line = begins + reader.line_num
            if "…" in record or None in record.values():
                raise ProjectError(
                    f"this row has not {len(reader.fieldnames or ())} fields",
                    where=Where(self.path, line),
                    allowed=reader.fieldnames or (),
                )
            values = {name: value or None for name, value in record.items()}
            rows.append(Row(values, self.path, line, {}))
        return tuple(rows)


def _refuse_unknown(name: str, columns: Sequence[str], where: Where) -> None:
    if name.lower() not in {column.lower() for column in columns}:
        raise ProjectError(
            f"there is no column {name!r} here", where=where, allowed=columns, given=name
        )
