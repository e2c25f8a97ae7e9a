"""The service over HTTP, as a process of its own."""

from __future__ import annotations

import http.client
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import depot
import pytest
from depot_service import Client, instance, logged, serving

DAY = timedelta(days=1)
PARCELS = depot.parcels(depot.NOW, depot.NOW + DAY)


@pytest.fixture(scope="module")
def root(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(trained, tmp_path_factory.mktemp("http") / "depot"))


@pytest.fixture(scope="module")
def client(root: Path) -> Iterator[Client]:
    with serving(root) as client:
        yield client


def test_a_key_is_answered_at_its_moment_and_logged_before(client: Client, root: Path) -> None:
    answers = client.predict(*map(instance, PARCELS))
    lines = {line["prediction_id"]: line for line in logged(root)}
    assert [answer["key"] for answer in answers] == [parcel["parcel_id"] for parcel in PARCELS]
    for answer in answers:
        line = lines[answer["prediction_id"]]
        assert {name: line[name] for name in answer} == answer
        assert answer["value"] == (answer["probability"] >= 0.5)
        assert (answer["model"], answer["model_version"]) == ("late", 1)
        assert line["publication"] == 1
    assert len({answer["probability"] for answer in answers}) > 10


def test_a_whole_row_is_answered_like_its_key(client: Client) -> None:
    parcel = PARCELS[3]
    row = {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in parcel.items()}
    asked = instance(parcel)
    by_key, by_row = client.predict(asked, {"row": row, "at": asked["at"]})
    assert by_row["probability"] == by_key["probability"]
    assert by_row["key"] == by_key["key"]
    nameless = {name: row[name] for name in ("depot", "customer", "weight", "promised_at")}
    (answer,) = client.predict({"row": nameless, "at": asked["at"]})
    assert (answer["key"], answer["probability"]) == (None, by_key["probability"])


def test_one_instance_may_stand_alone(client: Client) -> None:
    status, told = client.call("/v1/models/models.late/predict", instance(PARCELS[0]))
    assert status == 200 and told["predictions"][0]["key"] == PARCELS[0]["parcel_id"]


def test_an_unknown_key_leaves_the_others_their_answer(client: Client) -> None:
    unknown, known = client.predict(
        {"key": "p999", "at": "2020-02-01T10:00:00Z"}, instance(PARCELS[1])
    )
    assert unknown["key"] == "p999" and "prediction_id" not in unknown
    assert unknown["error"]["at"] == "2020-02-01T10:00:00Z"
    assert "outcomes.late has no row of this key" in unknown["error"]["what"]
    assert known["key"] == PARCELS[1]["parcel_id"]


def test_an_old_question_is_answered_from_the_stored_tables(client: Client) -> None:
    old = depot.parcels(depot.NOW - 20 * DAY, depot.NOW - 19 * DAY)[:3]
    answers = client.predict(*map(instance, old))
    assert [answer["key"] for answer in answers] == [parcel["parcel_id"] for parcel in old]


WRONG: list[tuple[Any, str, str, str | None]] = [
    (b"{", "not JSON", "$", None),
    ([], "not an object", "$", None),
    ({"instances": {}}, "not a list", "$.instances", None),
    ({"instances": [{"kye": "p1"}]}, "no 'kye'", "$.instances[0]", "key"),
    ({"instances": [{"key": "p1"}, 7]}, "not an object", "$.instances[1]", None),
    ({"key": "p1", "at": "tomorrow"}, "'tomorrow' is not a time", "$.at", None),
    ({"key": 1.5}, "a key is", "$.key", None),
    ({"key": ["a", "b"]}, "the key has 1 part", "$.key", None),
    ({"at": "2020-02-01"}, "either a key or a row", "$", None),
    ({"row": {"depto": "west"}}, "no 'depto'", "$.row", "depot"),
    ({"row": {"depot": "west"}}, "'customer' is missing", "$.row", None),
    (
        {
            "row": {"depot": "w", "customer": "c", "weight": "heavy", "promised_at": "2020-02-01"},
            "at": "2020-02-01",
        },
        "'heavy' is not a value of 'weight'",
        "$.row.weight",
        None,
    ),
]


@pytest.mark.parametrize(("body", "what", "path", "near"), WRONG)
def test_wrong_input_is_told_with_its_place(
    client: Client, body: Any, what: str, path: str, near: str | None
) -> None:
    status, told = client.call("/v1/models/late/predict", body)
    assert status == 400
    assert what in told["error"]["what"]
    assert told["error"]["path"] == path
    assert told["error"].get("did_you_mean") == near


@pytest.mark.parametrize(
    ("body", "what"),
    [
        ({"outcomes": [{"key": "p1"}]}, "the label is missing"),
        ({"outcomes": [{"label": 1}]}, "says what it is about"),
        ({"outcomes": [{"key": "p1", "label": "late"}]}, "'late' is not a label"),
        ({"key": "p1", "label": 1, "known_at": "soon"}, "'soon' is not a time"),
    ],
)
def test_wrong_outcomes_are_told(client: Client, body: Any, what: str) -> None:
    status, told = client.call("/v1/outcomes", body)
    assert status == 400 and what in told["error"]["what"]


def test_what_is_not_served_is_told(client: Client) -> None:
    status, told = client.call("/v1/models/lat/predict", {"key": "p1"})
    assert (status, told["error"]["did_you_mean"]) == (404, "late")
    assert client.call("/v1/model")[0] == 404


def test_a_body_beyond_the_limit_is_refused_unread(client: Client) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", client.port, timeout=30)
    connection.putrequest("POST", "/v1/models/late/predict")
    connection.putheader("Content-Length", str(10**9))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_the_model_and_the_publication_are_shown(client: Client) -> None:
    status, model = client.call("/v1/models/late")
    assert status == 200 and (model["model_version"], model["key"]) == (1, ["parcel_id"])
    assert 0.5 < model["metrics"]["roc_auc"]["value"] < 1
    assert {"name": "parcel__weight", "dtype": "float64"}.items() <= model["columns"][1].items()
    status, health = client.call("/healthz")
    assert status == 200 and (health["publication"], health["now"]) == (1, "2020-02-01T00:00:00Z")
    assert health["age_seconds"] > 0
