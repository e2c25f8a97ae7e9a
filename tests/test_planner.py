"""Exact step lists for one change at a time, from facts that a real run left behind."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lichen.core.names import Name
from lichen.core.steps import AnyStep, Build, Drain, Land, Publish, signature
from lichen.core.time import instant
from lichen.declared import Project
from lichen.loop import open_loop
from lichen.observe import observe
from lichen.planner import plan
from lichen.ports.facts import Facts, Observed
from lichen.ports.ledger import Record, State
from lichen.project import read_project
from lichen.selection import Selection
from lichen.testing.project import SmallProject

NOW = instant("2020-06-01")
SERVICE = Name.parse("services.big")
SALES = {
    "id": "bigint", "at": "timestamptz", "shop": "varchar", "amount": "double", "note": "varchar",
}  # fmt: skip
BACKFILL = "backfill_until: 2020-06-01\n"
CLEAN = "/* key: id */\nselect id, at, shop, amount, note from sales where amount < 500\n"
BY_SHOP = "select shop, sum(amount) as total, count(*) as n from clean group by shop\n"
PLACED = """/* key: id */
select c.id, c.at, c.amount, s.town from clean c left join shops s using (shop)
"""
RECENT = """/*
entity: shop
event_time: at
known_at: at
max_age: 60 days
*/
select shop, at, amount as last_amount from clean
"""
BIG = """/*
key: id
entities: shop
predict_at: at
label: amount > 50
known_at: at + interval 1 day
*/
select id, shop, at, amount from clean
""".replace("entities: shop", "entities: [shop]")
MODEL = '''from lichen import model
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline


@model(target="big", metric="roc_auc", holdout="30 days", retrain="7 days")
def big(recent):
    """Is this sale a big one?"""
    return make_pipeline(SimpleImputer(), LogisticRegression(C=1.0))
'''


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A project with every kind of node, run once at NOW."""
    small = SmallProject(tmp_path_factory.mktemp("ran"))
    amount = {"logicalTypeOptions": {"minimum": 0, "maximum": 1000}}
    small.source("sales", SALES, f"key: id\nknown_at: at\n{BACKFILL}", rules={"amount": amount})
    small.source("shops", {"shop": "varchar", "town": "varchar"}, "key: shop\n")
    small.write("tables/clean.sql", CLEAN)
    small.contract("tables/clean", SALES, rules={"amount": {"logicalTypeOptions": {"minimum": 1}}})
    for path, text in (
        ("tables/by_shop.sql", BY_SHOP),
        ("tables/placed.sql", PLACED),
        ("features/recent.sql", RECENT),
        ("outcomes/big.sql", BIG),
        ("models/big.py", MODEL),
        ("services/big.yml", "model: big\n"),
    ):
        small.write(path, text)
    start = instant("2020-01-01")
    rows = [
        (
            i,
            f"{start + timedelta(days=i * 0.75):%Y-%m-%dT%H:%M:%SZ}",
            "abc"[i % 3],
            i * 7 % 101,
            "x",
        )
        for i in range(200)
    ]
    small.csv("feeds/sales/a.csv", "id,at,shop,amount,note", rows)
    small.csv("feeds/shops/a.csv", "shop,town", [("a", "Aa"), ("b", "Bb")])
    events = small.loop().run(now=NOW)
    assert not [e for e in events if getattr(e.result, "error", None)]
    return small


@pytest.fixture
def changed(ran: SmallProject, tmp_path: Path) -> Path:
    """A copy of the folder that ran, to be edited."""
    kept = shutil.ignore_patterns(".lichen", "__pycache__")
    shutil.copytree(ran.root, tmp_path / "p", ignore=kept)
    return tmp_path / "p"


Edit = Callable[[Path], object]
Told = tuple[str, str, str]


def facts_of(root: Path, state: State) -> tuple[Project, Facts]:
    project = read_project(root)
    world = observe(project, state, NOW, root / ".lichen/dev", open_loop(root)._connect)
    return project, Facts(state, "this run", world.files, world.logs)


def told(steps: tuple[AnyStep, ...]) -> list[Told]:
    """Say each step as one line: what, whether to append or to replace or to judge again, why."""
    return [(_what(step), step.node, step.reason) for step in steps]


def _what(step: AnyStep) -> str:
    kind = type(step).__name__
    if isinstance(step, Build | Land):
        again = " rejudge" * step.rejudge
        kind += (" replace" if step.replace else " append") + again
    return kind


def edit(path: str, old: str, new: str) -> Edit:
    def apply(root: Path) -> None:
        text = (root / path).read_text()
        assert old in text
        (root / path).write_text(text.replace(old, new, 1))

    return apply


def write(path: str, text: str) -> Edit:
    def apply(root: Path) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)

    return apply


def published(count: int) -> Told:
    return ("Publish", "publication", f"{count} {'node' if count == 1 else 'nodes'} went on")


DEFINITION = "its definition changed, or that of what it reads"
ROWS = "its rows are chosen differently"
JUDGED = "its contract's rules changed: what is there is judged again"
NEW_FILE = write("feeds/sales/b.csv", "id,at,shop,amount,note\n900,2020-06-02,a,5,x\n")
DATA: list[Told] = [
    ("Build append", "tables.clean", "new data in sources.sales"),
    ("Build append", "tables.by_shop", "new data in tables.clean"),
    ("Build append", "tables.placed", "new data in tables.clean"),
]
ANEW: list[Told] = [DATA[1], ("Build replace", "tables.placed", "new data in tables.clean")]
NOTHING: list[Told] = []

# What is edited, how many days later it is, and the steps that follow.
CASES: dict[str, tuple[Edit, int, list[Told]]] = {
    "nothing": (edit("lichen.yml", "small", "small"), 100, NOTHING),
    "a remark in SQL": (edit("tables/clean.sql", "where", "-- small ones\nwhere"), 0, NOTHING),
    "the opening comment's note": (
        edit("tables/clean.sql", "/* key: id */", "/*\nkey: id\nnote: small ones\n*/"), 0, NOTHING,
    ),
    "case and white space": (
        write("tables/by_shop.sql", "SELECT  SHOP,\n SUM(Amount) AS total, COUNT(*) AS n\n"
              "FROM clean GROUP BY shop"), 0, NOTHING,
    ),
    "a relation's alias": (
        write("tables/placed.sql", PLACED.replace("c.", "k.").replace("clean c", "clean k")), 0,
        NOTHING,
    ),
    "a new column": (
        edit("tables/clean.sql", "note from", "note, amount * 2 as twice from"), 0,
        [("Build replace", "tables.clean", "twice is new"), published(1)],
    ),
    "a column that nobody reads": (
        edit("tables/clean.sql", "note from", "upper(note) as note from"), 0,
        [("Build replace", "tables.clean", "note changed"), published(1)],
    ),
    "a column gone": (
        lambda root: (
            edit("tables/clean.sql", ", note from", " from")(root),
            (root / "tables/clean.odcs.yaml").rename(root / "unused"),
        ), 0,
        [("Build replace rejudge", "tables.clean", f"note is gone, {JUDGED}"),
         ("Build append", "tables.by_shop", "new data in tables.clean"),
         ("Build replace", "tables.placed", "new data in tables.clean"), published(3)],
    ),
    "the order of columns": (
        edit("tables/clean.sql", "id, at, shop", "id, shop, at"), 0,
        [("Build replace", "tables.clean", "the order of its columns changed"), published(1)],
    ),
    "a column that others read": (
        edit("tables/clean.sql", "amount, note", "amount + 1 as amount, note"), 0,
        [("Build replace", "tables.clean", "amount changed"),
         ("Build replace", "tables.by_shop", "total changed"),
         ("Build replace", "tables.placed", "amount changed"),
         ("Train", "models.big", DEFINITION), published(4)],
    ),
    "a condition": (
        edit("tables/clean.sql", "amount < 500", "amount < 400"), 0,
        [("Build replace", "tables.clean", ROWS), ("Build replace", "tables.by_shop", ROWS),
         ("Build replace", "tables.placed", ROWS), ("Train", "models.big", DEFINITION),
         published(4)],
    ),
    "a column two levels up": (
        edit("sources/shops.odcs.yaml", '"physicalType":"varchar"}]', '"physicalType":"text"}]'), 0,
        NOTHING,  # another spelling of the same type
    ),
    "new data, not due": (NEW_FILE, 6, [("Land append", "sources.sales", "1 new file"), *DATA,
                                        published(4)]),
    "new data, due": (
        NEW_FILE, 7,
        [("Land append", "sources.sales", "1 new file"), *DATA,
         ("Train", "models.big", "trained 7 days ago (2020-06-01T00:00:00Z); the policy allows 7d"),
         published(5)],
    ),
    "a changed file": (
        edit("feeds/sales/a.csv", "0,2020-01-01T00:00:00Z,a,0", "0,2020-01-01T00:00:00Z,a,9"), 0,
        [("Land append", "sources.sales", "1 changed file"), *DATA, published(4)],
    ),
    "data that only a join reads": (
        edit("feeds/shops/a.csv", "Bb", "B"), 99,
        [("Land append", "sources.shops", "1 changed file"),
         ("Build append", "tables.placed", "new data in sources.shops"), published(2)],
    ),
    "a new table": (
        write("tables/top.sql", "/* key: shop */ select shop, total from by_shop where n > 1"), 0,
        [("Build replace", "tables.top", "it was never built"), published(1)],
    ),
    "a table's rule": (
        edit("tables/clean.odcs.yaml", '"minimum":1', '"minimum":2'), 0,
        [("Build append rejudge", "tables.clean", JUDGED), *ANEW, published(3)],
    ),
    "a source's rule": (
        edit("sources/sales.odcs.yaml", '"maximum":1000', '"maximum":90'), 0,
        [("Land append rejudge", "sources.sales", JUDGED),
         ("Build replace", "tables.clean", "new data in sources.sales"),
         *ANEW, published(4)],
    ),
    "a rule and a file": (
        lambda root: (
            edit("sources/sales.odcs.yaml", '"maximum":1000', '"maximum":90')(root), NEW_FILE(root),
        ), 0,
        [("Land append rejudge", "sources.sales", f"1 new file, {JUDGED}"),
         ("Build replace", "tables.clean", "new data in sources.sales"),
         *ANEW, published(4)],
    ),
    "a description": (
        edit("tables/clean.odcs.yaml", '"name":"note"', '"name":"note","description":"why"'), 0,
        NOTHING,
    ),
    "when a source's rows are known": (
        edit("sources/sales.yml", "known_at: at", "known_at: at + interval 1 hour"), 0,
        [("Land replace", "sources.sales", "its definition changed"),
         ("Build replace", "tables.clean", ROWS), ("Build replace", "tables.by_shop", ROWS),
         ("Build replace", "tables.placed", ROWS), ("Train", "models.big", DEFINITION),
         published(5)],
    ),
    "a text that stands for no value": (
        edit("sources/sales.odcs.yaml", '"name":"note","logicalType":"string",',
             '"name":"note","logicalType":"string","customProperties":'
             '[{"property":"lichen.missing","value":["x"]}],'), 0,
        [("Land replace", "sources.sales", "its definition changed"),
         ("Build replace", "tables.clean", "note changed"),
         *ANEW, published(4)],
    ),
    "how old a feature may be": (
        edit("features/recent.sql", "60 days", "50 days"), 0,
        [("Train", "models.big", DEFINITION), published(1)],
    ),
    "the outcome's label": (
        edit("outcomes/big.sql", "> 50", "> 60"), 0,
        [("Train", "models.big", DEFINITION), published(1)],
    ),
    "a model's code": (
        edit("models/big.py", "C=1.0", "C=0.1"), 0,
        [("Train", "models.big", DEFINITION), published(1)],
    ),
    "a model's docstring and format": (
        edit("models/big.py", '    """Is this sale a big one?"""\n', '    """Why."""\n    # so\n'),
        0, NOTHING,
    ),
    "a model's metric": (
        edit("models/big.py", "roc_auc", "log_loss"), 0,
        [("Train", "models.big", DEFINITION), published(1)],
    ),
    "when a model is due": (
        edit("models/big.py", 'retrain="7 days"', 'retrain="9 days"'), 0, NOTHING,
    ),
    "a model's margin": (edit("models/big.py", "retrain=", "margin=0.1, retrain="), 0, NOTHING),
    "a new model": (
        write("models/other.py", MODEL.replace("def big", "def other")), 0,
        [("Train", "models.other", "it was never trained"), published(1)],
    ),
    "a new service": (
        write("services/second.yml", "model: big\n"), 0,
        [("Promote", "services.second", "version 1 of models.big was not yet put to the gate"),
         published(1)],
    ),
    "a service's log": (
        lambda root: (
            write(".lichen/dev/log/big/predictions-1.ndjson", '{"a": 1}\n{"torn')(root),
            write(".lichen/dev/log/big/feedback-1.ndjson", '{"torn')(root),
        ), 0,
        [("Drain", "predictions.big", "9 bytes of the service's log are new"), published(1)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_steps_that_follow_a_change(ran: SmallProject, changed: Path, case: str) -> None:
    apply, days, expected = CASES[case]
    apply(changed)
    project, facts = facts_of(changed, ran.loop().state())
    shutil.rmtree(changed)  # a plan reads nothing but its arguments
    steps = plan(project, facts, NOW + timedelta(days=days))
    assert told(steps) == expected
    assert plan(project, facts, NOW + timedelta(days=days)) == steps


def test_each_step_names_what_comes_before_and_what_is_downstream(
    ran: SmallProject, changed: Path
) -> None:
    NEW_FILE(changed)
    project, facts = facts_of(changed, ran.loop().state())
    steps = plan(project, facts, NOW + timedelta(days=7))
    assert {s.node: (s.after, s.downstream) for s in steps if not isinstance(s, Publish)} == {
        "sources.sales": (
            (),
            ("tables.clean", "tables.by_shop", "tables.placed", "features.recent", "outcomes.big",
             "models.big", "services.big"),
        ),
        "tables.clean": (
            ("sources.sales",),
            ("tables.by_shop", "tables.placed", "features.recent", "outcomes.big", "models.big",
             "services.big"),
        ),
        "tables.by_shop": (("tables.clean",), ()),
        "tables.placed": (("tables.clean",), ()),
        "models.big": (("tables.clean",), ("services.big",)),
    }  # fmt: skip
    assert steps[-1].after == tuple(s.node for s in steps[:-1])


def test_only_some_nodes_and_what_they_need(ran: SmallProject, changed: Path) -> None:
    NEW_FILE(changed)
    edit("feeds/shops/a.csv", "Bb", "B")(changed)
    project, facts = facts_of(changed, ran.loop().state())
    only = frozenset(Name.parse(n) for n in ("sources.sales", "tables.clean", "tables.by_shop"))
    assert [s.node for s in plan(project, facts, NOW, Selection(only))] == [
        "sources.sales", "tables.clean", "tables.by_shop", "publication",
    ]  # fmt: skip


def _record(step: AnyStep, **fields: Any) -> Record:
    return Record(
        id=999, node=step.node, step="land", sequence=getattr(step, "sequence", 0), now=NOW,
        body={"signature": signature(step)}, **fields,
    )  # fmt: skip


def _after(state: State, record: Record) -> State:
    return msgspec.structs.replace(state, tried={record.node: record})


def test_a_blocked_step_comes_back_only_with_other_input_or_definition(
    ran: SmallProject, changed: Path
) -> None:
    state = ran.loop().state()
    NEW_FILE(changed)
    project, facts = facts_of(changed, state)
    first = plan(project, facts, NOW)[0]
    blocked = _after(state, _record(first, run="an earlier run", state="blocked"))
    assert plan(project, replace(facts, state=blocked), NOW) == ()

    write("feeds/sales/c.csv", "id,at,shop,amount,note\n901,2020-06-02,a,5,x\n")(changed)
    project, facts = facts_of(changed, blocked)
    again = plan(project, facts, NOW)
    assert told(again)[0] == ("Land append", "sources.sales", "2 new files")
    # Part of the blocked attempt may be in the lake: its number is not given to other work.
    assert (getattr(first, "sequence", 0), getattr(again[0], "sequence", 0)) == (2, 3)

    (changed / "feeds/sales/c.csv").unlink()
    edit("sources/sales.odcs.yaml", '"maximum":1000', '"maximum":2000')(changed)
    project, facts = facts_of(changed, blocked)
    assert told(plan(project, facts, NOW))[0][1] == "sources.sales"


def test_a_failed_step_comes_back_once_a_run_with_its_number(
    ran: SmallProject, changed: Path
) -> None:
    state = ran.loop().state()
    NEW_FILE(changed)
    project, facts = facts_of(changed, state)
    first = plan(project, facts, NOW)[0]
    now = _after(state, _record(first, run=facts.run, state="failed"))
    assert plan(project, replace(facts, state=now), NOW) == ()
    before = _after(state, _record(first, run="an earlier run", state="failed"))
    assert plan(project, replace(facts, state=before), NOW)[0] == first
    # A second attempt at other work failed since: the same work keeps that attempt's number.
    other = msgspec.structs.replace(before.tried[first.node], sequence=7)
    (retried, *_) = plan(project, replace(facts, state=_after(state, other)), NOW)
    assert getattr(retried, "sequence", 0) == 7


def test_what_is_done_and_not_published_is_published(ran: SmallProject) -> None:
    project, facts = facts_of(ran.root, ran.loop().state())
    assert facts.state.publication is not None
    pins = {n: id_ for n, id_ in facts.state.publication.pins.items() if n != "tables.clean"}
    before = msgspec.structs.replace(facts.state.publication, pins=pins)
    state = msgspec.structs.replace(facts.state, publication=before)
    (step,) = plan(project, replace(facts, state=state), NOW)
    assert isinstance(step, Publish)
    assert step.nodes == ("tables.clean",)


def test_a_dead_runs_intents_come_first_and_alone(ran: SmallProject, changed: Path) -> None:
    state = ran.loop().state()
    NEW_FILE(changed)
    project, facts = facts_of(changed, state)
    land = plan(project, facts, NOW)[0]
    open_ = (_record(land, run="dead", state="intended"), _record(land, run=facts.run, state="x"))
    state = msgspec.structs.replace(state, open=open_)
    assert told(plan(project, replace(facts, state=state), NOW)) == [
        ("Adopt", "sources.sales", "run dead died at sequence 2")
    ]


def test_labels_and_a_fall_in_service_are_reasons_to_train(
    ran: SmallProject, changed: Path
) -> None:
    edit("models/big.py", '"7 days"', '{"labels": 100}')(changed)
    NEW_FILE(changed)
    project, facts = facts_of(changed, ran.loop().state())
    for labels, trains in ((99, False), (100, True)):
        seen = replace(facts, observed={"models.big": Observed(labels, None)})
        assert ("models.big" in [s.node for s in plan(project, seen, NOW)]) is trains


def test_drained_bytes_are_those_of_whole_lines(ran: SmallProject, changed: Path) -> None:
    CASES["a service's log"][0](changed)
    project, facts = facts_of(changed, ran.loop().state())
    (drain, _) = plan(project, facts, NOW)
    assert isinstance(drain, Drain)
    assert drain.log == (("log/big/predictions-1.ndjson", 0, 9),)


def test_a_service_that_changes_its_model_starts_over(ran: SmallProject, changed: Path) -> None:
    write("models/other.py", MODEL.replace("def big", "def other"))(changed)
    write("services/big.yml", "model: other\n")(changed)
    state = ran.loop().state()
    project, facts = facts_of(changed, state)
    assert [s.node for s in plan(project, facts, NOW)] == ["models.other", "publication"]
    trained = msgspec.structs.replace(state.done["models.big"], node="models.other")
    print_ = project.prints[Name.parse("models.other")].whole()
    trained = msgspec.structs.replace(trained, body={**trained.body, "fingerprint": print_})
    state = msgspec.structs.replace(state, done={**state.done, "models.other": trained})
    steps = plan(project, replace(facts, state=state), NOW)
    assert ("Promote", "services.big") in [(kind, node) for kind, node, _ in told(steps)]


@pytest.mark.parametrize(
    ("promote", "selection", "gate"),
    [
        ("auto", Selection(), True),
        ("manual", Selection(), False),
        ("manual", Selection(full=True), False),
        ("manual", Selection(frozenset([SERVICE]), frozenset([SERVICE])), False),
        ("manual", Selection(frozenset([SERVICE]), frozenset([SERVICE]), full=True), True),
    ],
    ids=["auto", "manual", "all in full", "named", "named in full"],
)
def test_a_later_version_waits_for_a_person_where_promotion_is_manual(
    ran: SmallProject, changed: Path, promote: str, selection: Selection, gate: bool
) -> None:
    write("services/big.yml", f"model: big\npromote: {promote}\n")(changed)
    project, facts = facts_of(changed, ran.loop().state())
    later = msgspec.structs.replace(facts.state.done["models.big"], sequence=2)
    state = msgspec.structs.replace(facts.state, done={**facts.state.done, "models.big": later})
    # A model that is trained anew in this very plan is put to the gate by the next one.
    only = selection.only or frozenset(n for n in project.reads if n.kind != "models")
    chosen = replace(selection, only=only)
    found = told(plan(project, replace(facts, state=state), NOW, chosen))
    step = ("Promote", "services.big", "version 2 of models.big was not yet put to the gate")
    assert (step in found) is gate
