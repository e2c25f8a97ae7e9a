"""A December correction of a January arrival, and a retraction: each month sees its own truth."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal

import duckdb
import pytest
from sqlglot import exp

from lichen.core.errors import FeaturesError, LichenError, Where
from lichen.core.names import Kind, Name
from lichen.core.sql import col, parse_expression, parse_select, text
from lichen.core.versions import stored
from lichen.stages.features.answer import answer
from lichen.stages.features.compiled import compiled
from lichen.stages.features.spec import Features

PATH = Path("features/arrivals.sql")
INPUTS = {"landed": stored("a", ("carrier", "landed_at", "delay"))}
QUESTIONS = exp.select(*map(col, ("_q", "_at", "carrier", "distance"))).from_("q")


@pytest.fixture(scope="module")
def db() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("set TimeZone = 'UTC'")
    connection.execute("create macro day(d) as (d || ' 00:00:00+00')::timestamptz")
    connection.execute(
        """
        create table a as
        select carrier, day(landed) as landed_at, delay, row_number() over () as _row, _key,
            day(known) as _known_at, day(known) as _arrived_at, _deleted
        from (values
            ('UA', '2013-01-10', 10, 'UA1', '2013-01-10', false),
            ('UA', '2013-01-11', 20, 'UA2', '2013-01-11', false),
            ('UA', '2013-01-11', 90, 'UA2', '2013-12-05', false),
            ('AA', '2013-01-12', 30, 'AA1', '2013-01-12', false),
            ('AA', '2013-01-13', 40, 'AA2', '2013-01-13', false),
            ('AA', null, null, 'AA2', '2013-12-06', true)
        ) as v(carrier, landed, delay, _key, known, _deleted)
        """
    )
    connection.execute(
        """
        create table q as
        select row_number() over () as _q, day(d) as _at, carrier, 100 as distance
        from (values ('2013-01-20'), ('2013-12-04'), ('2013-12-05'), ('2013-12-20')) as t(d),
             (values ('UA'), ('AA')) as c(carrier)
        """
    )
    return connection


def features(select: str, shape: Literal["latest", "window", "request"]) -> Features:
    timed = shape != "request"
    return Features(
        Name(Kind.features, "f"),
        Where(PATH, 3),
        parse_select(select, PATH),
        select,
        shape,
        entity=("carrier",) if timed else (),
        event_time=parse_expression("landed_at", PATH) if timed else None,
        known_at=parse_expression("landed_at", PATH) if timed else None,
        windows=(timedelta(days=350),) if shape == "window" else (),
    )


@pytest.mark.parametrize(
    ("select", "shape", "column", "january", "december"),
    [
        ("select carrier, landed_at, delay from landed", "latest", "delay", (20, 40), (90, 30)),
        ("select sum(delay) as s from landed", "window", "s_350d", (30, 70), (100, 30)),
        ("select max(delay) as m from landed", "window", "m_350d", (20, 40), (90, 30)),
    ],
)
def test_january_sees_the_old_value_and_december_the_new(
    db: duckdb.DuckDBPyConnection,
    select: str,
    shape: Literal["latest", "window"],
    column: str,
    january: tuple[int, int],
    december: tuple[int, int],
) -> None:
    answered = answer(QUESTIONS, [compiled(features(select, shape), INPUTS)])
    shown = exp.select(col("_at"), col("carrier"), col(f"f__{column}")).from_(
        answered.subquery("a")
    )
    found = {
        (day, carrier): value
        for day, carrier, value in db.execute(
            text(exp.select("strftime(_at, '%m-%d')", "* exclude (_at)").from_(shown.subquery("s")))
        ).fetchall()
    }
    (ua, aa), (ua_corrected, aa_retracted) = january, december
    assert found == {
        ("01-20", "UA"): ua,
        ("01-20", "AA"): aa,
        ("12-04", "UA"): ua,
        ("12-04", "AA"): aa,
        ("12-05", "UA"): ua_corrected,
        ("12-05", "AA"): aa,
        ("12-20", "UA"): ua_corrected,
        ("12-20", "AA"): aa_retracted,
    }


def test_request_features_read_the_question(db: duckdb.DuckDBPyConnection) -> None:
    definition = features(
        "select distance * 2 as twice, lower(carrier) as c from request", "request"
    )
    answered = answer(QUESTIONS, [compiled(definition, {})])
    assert answered.named_selects[-2:] == ["f__twice", "f__c"]
    rows = db.execute(text(exp.select("f__twice", "f__c").from_(answered.subquery("a")))).fetchall()
    assert set(rows) == {(200, "ua"), (200, "aa")}
    assert len(rows) == 8


@pytest.mark.parametrize(
    ("select", "shape", "message"),
    [
        ("select delay + 1 from landed", "latest", "has no name"),
        ("select avg(delay) from landed", "window", "has no name"),
        ("select delay as d from landed", "window", "stands outside an aggregate"),
        ("select sum(delay) over () as d from landed", "window", "cannot use OVER"),
        ("select sum(delay) as d from landed group by carrier", "window", "cannot use GROUP BY"),
        ("select delai from landed", "latest", "did you mean 'delay'"),
        ("select * from lnded", "latest", "did you mean 'landed'"),
        ("select max(delay) as d from landed", "latest", "cannot be followed over time"),
    ],
)
def test_what_cannot_be_answered_says_why(
    select: str, shape: Literal["latest", "window"], message: str
) -> None:
    with pytest.raises(LichenError, match=r"features/arrivals\.sql:3") as error:
        compiled(features(select, shape), INPUTS)
    assert message in str(error.value)


def test_an_entity_that_the_outcome_lacks_is_named() -> None:
    definition = compiled(features("select delay from landed", "latest"), INPUTS)
    with pytest.raises(FeaturesError, match="about 'carrier'"):
        answer(exp.select("_q", "_at").from_("q"), [definition])
