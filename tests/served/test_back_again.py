"""What a service logged comes back as tables, labels and the next publication; nothing is lost."""

from __future__ import annotations

import os
import signal
import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import depot
from depot_service import Client, instance, logged, serving
from sqlglot import exp

from lichen.core.names import Name
from lichen.core.sql import rel
from lichen.core.time import instant
from lichen.loop import Loop, open_loop
from lichen.stages.context import Shelf
from lichen.stages.models.ask import asked, relations_of

DAY = timedelta(days=1)


def rows(loop: Loop, node: str) -> list[dict[str, Any]]:
    shelf = Shelf(loop.published(), loop.lake)
    found = loop.engine.rows(exp.select("*").from_(rel(node)), shelf.relations([node]))
    return [dict(row) for row in found]


def test_the_whole_way_back(project: Path) -> None:
    parcels = depot.parcels(depot.NOW, depot.NOW + DAY)
    later = depot.parcels(depot.NOW + 3 * DAY, depot.NOW + 4 * DAY)
    loop = open_loop(project)
    with serving(project) as client:
        first = client.predict(*map(instance, parcels))
        assert "error" in client.predict(instance(later[0]))[0]
        told = [
            {"key": first[0]["key"], "label": True, "known_at": "2020-02-01T22:00:00Z"},
            {
                "prediction_id": first[1]["prediction_id"],
                "label": 0,
                "known_at": "2020-02-01T22:00Z",
            },
        ]
        assert client.call("/v1/outcomes", {"outcomes": told}) == (200, {"taken": 2})
        depot.feed(project, depot.NOW, depot.NOW + 2 * DAY)
        (project / "feeds/deliveries/0201-0203.csv").unlink()  # the feed of labels is late
        loop.run(now=depot.NOW + 2 * DAY)
        # The same process reads the new publication: it knows the parcels that came since.
        second = client.predict(instance(later[0]))
        assert second[0]["key"] == later[0]["parcel_id"]
        assert client.call("/healthz")[1]["publication"] == 2
    drained = {row["prediction_id"]: row for row in rows(loop, "predictions.late")}
    assert len(drained) == len(first)
    for answer in first:
        row = drained[answer["prediction_id"]]
        assert instant(row.pop("at")) == instant(answer["at"])
        assert {k: row[k] for k in answer if k != "at"} == {
            k: answer[k] for k in answer if k != "at"
        }
    with serving(project) as client:  # a new process: it writes a file of its own
        third = client.predict(instance(later[1]))
    loop.run(now=depot.NOW + 3 * DAY)
    ids = {row["prediction_id"] for row in rows(loop, "predictions.late")}
    assert ids == {answer["prediction_id"] for answer in (*first, *second, *third)}
    labels(loop, {first[0]["key"]: 1.0, first[1]["key"]: 0.0}, [p["key"] for p in first[2:]])


def labels(loop: Loop, told: dict[str, float], untold: list[str]) -> None:
    """What was told stands in the next training set, at the time at which it was known."""
    inquiry = loop.inquiry(Name.parse("models.late"))
    shelf = Shelf(loop.published(), loop.lake)
    query = asked(inquiry, shelf, depot.NOW + 3 * DAY, keys=[*told, *untold])
    frame = loop.engine.frame(query, relations_of(inquiry, shelf)).set_index("_key")
    assert frame.loc[[*told], "_label"].to_dict() == told
    assert {*frame.loc[[*told], "_label_known_at"]} == {instant("2020-02-01T22:00:00Z")}
    assert frame.loc[untold, "_label"].isna().all()


def test_a_killed_service_loses_no_answer(project: Path) -> None:
    parcels = depot.parcels(depot.NOW, depot.NOW + 2 * DAY)
    answered: list[str] = []
    enough = threading.Event()
    with serving(project) as client:
        threads = [
            threading.Thread(target=_ask, args=(client, parcels[i::4], answered, enough))
            for i in range(4)
        ]
        for thread in threads:
            thread.start()
        assert enough.wait(60)
        os.kill(client.process.pid, signal.SIGKILL)
        client.process.wait()
        for thread in threads:
            thread.join()
    assert len(answered) >= 30
    assert {*answered} <= {line["prediction_id"] for line in logged(project)}
    loop = open_loop(project)
    loop.run(now=depot.NOW + timedelta(hours=1))
    assert {*answered} <= {row["prediction_id"] for row in rows(loop, "predictions.late")}


def _ask(
    client: Client,
    parcels: list[dict[str, Any]],
    answered: list[str],
    enough: threading.Event,
) -> None:
    try:
        while True:
            for answer in client.predict(*map(instance, parcels[:3])):
                answered.append(answer["prediction_id"])
            if len(answered) >= 30:
                enough.set()
    except (OSError, ValueError):  # it was killed
        return
    except Exception as error:  # noqa: BLE001 - http.client has no common base for a cut line
        assert "http.client" in type(error).__module__, error
