"""A service at work: it follows the publications, answers, and logs before it answers.

The desk reads what a run published and writes nothing but its own log files. It is used by the
HTTP server as by `lichen predict`.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lichen.core.errors import ServiceError
from lichen.core.names import Kind
from lichen.core.time import Instant, iso, wall
from lichen.loop import Loop, open_loop
from lichen.ports.http import Routes
from lichen.ports.ledger import Publication, Record
from lichen.stages.context import Shelf
from lichen.stages.models.ask import Inquiry
from lichen.stages.models.data import Class
from lichen.stages.models.run import Learners, load_version
from lichen.stages.services.journal import Journal
from lichen.stages.services.online import OnlineState
from lichen.stages.services.predict import Answer, Pinned, Serving, Unanswered, predict, shape
from lichen.stages.services.request import (
    Asked,
    Malformed,
    Told,
    as_json,
    of_the_kind,
    read_instances,
    read_outcomes,
)
from lichen.stages.services.spec import Service
from lichen.stages.services.tables import Outcome
from lichen.wiring import open_learners, open_online

REMEMBERED = 200_000  # recent predictions whose key an outcome may name by their id


@dataclass(frozen=True)
class _Post:
    """A service with what it answers from, as one reading of the project folder declares it."""

    service: Service
    inquiry: Inquiry
    fingerprint: str
    state: OnlineState


class Desk:
    """The services of a project. Safe to call from several threads."""

    def __init__(
        self, loop: Loop, *, only: str | None = None, since: Instant | None = None
    ) -> None:
        """Open nothing yet. `only` names the one service that is meant.

        Questions from `since` on are to be answered from memory, whatever the service's horizon.
        """
        self._loop, self._only, self._since = loop, only, since
        self._learners: Learners | None = None
        self._records: dict[int, Record] = {}
        self._posts: dict[str, _Post] = {}
        self._servings: dict[tuple[str, int], Serving] = {}
        self._journals: dict[tuple[str, Kind], Journal] = {}
        self._recent: OrderedDict[str, tuple[str, str | None]] = OrderedDict()
        self._lock = threading.RLock()

    def predict(self, name: str, body: bytes) -> list[Answer | Unanswered]:
        """Return an answer for each instance of a request; all of them are logged by then."""
        serving, pinned = self._serving(name)
        return self._answer(serving, pinned, read_instances(body, shape(serving), wall()))

    def tell(self, body: bytes, name: str | None = None) -> int:
        """Log what turned out; returns how many outcomes were taken."""
        told = read_outcomes(body, wall())
        lines: dict[str, list[Outcome]] = {}
        for one in told:
            service, key = self._about(one, name)
            label = of_the_kind(one, self._classes(service)).label
            line = Outcome(
                key=key,
                label=None if isinstance(label, str) else label,
                known_at=iso(one.known_at),
                prediction_id=one.prediction_id,
                answer=label if isinstance(label, str) else None,
            )
            lines.setdefault(service, []).append(line)
        for service, each in lines.items():
            self._journal(service, Kind.feedback).write(each)
        return len(told)

    def services(self) -> list[Service]:
        """Return the services that are meant."""
        every = list(self._loop.project.of(Service))
        if not every:
            raise NotServed("this project has no service", hint="write services/NAME.yml")
        return every if self._only is None else [_named(every, self._only)]

    def model(self, name: str) -> dict[str, Any]:
        """Return what is known of the model version behind a service."""
        serving, _ = self._serving(name)
        post = self._posts[serving.service]
        trained = self._trained(post, serving.version)
        told = ("metric", "metrics", "family", "trained_at", "cutoff", "holdout_begins")
        return {
            "model": serving.model,
            "model_version": serving.version,
            "service": serving.service,
            "task": serving.trained.task.value,
            "classes": list(serving.trained.classes),
            **{key: trained.facts.get(key) for key in told},
            "key": list(post.inquiry.outcome.key),
            "row": list(post.inquiry.outcome.request_columns()),
            "columns": [
                {"name": c.name, "dtype": c.dtype, "kind": c.kind} for c in serving.trained.columns
            ],
        }

    def health(self) -> dict[str, Any]:
        """Return which publication is read, and how old it is by the machine's clock."""
        publication = self._publication()
        age = (wall() - publication.now).total_seconds()
        return {
            "status": "ok",
            "publication": publication.id,
            "now": iso(publication.now),
            "age_seconds": round(age, 3),
        }

    def warm(self) -> None:
        """Read what every service needs, so that the first request does not wait for it."""
        for service in self.services():
            serving, pinned = self._serving(service.name.name)
            with serving.state.reading(pinned.publication, pinned.now, pinned.shelf):
                pass

    def close(self) -> None:
        """Make the logs durable."""
        with self._lock:
            for journal in self._journals.values():
                journal.close()

    def _answer(
        self, serving: Serving, pinned: Pinned, asked: Sequence[Asked]
    ) -> list[Answer | Unanswered]:
        answers, lines = predict(serving, pinned, asked, self._loop.engine)
        self._journal(serving.service, Kind.predictions).write(lines)
        with self._lock:
            for line in lines:
                self._recent[line.prediction_id] = (serving.service, line.key)
            while len(self._recent) > REMEMBERED:
                self._recent.popitem(last=False)
        return answers

    def _about(self, told: Told, name: str | None) -> tuple[str, str | None]:
        """Return the service that an outcome belongs to, and its key where that is known."""
        with self._lock:
            recent = self._recent.get(told.prediction_id or "")
        if recent is not None:
            return recent[0], told.key if told.key is not None else recent[1]
        return self._service(name).name.name, told.key

    def _classes(self, service: str) -> Sequence[Class]:
        """Return the names of the classes that a service's model tells apart, if it has any."""
        with suppress(ServiceError):  # outcomes may be told before there is a model
            return self._serving(service)[0].trained.classes
        return ()

    def _serving(self, name: str) -> tuple[Serving, Pinned]:
        """Return the model version that a service stands for now, and what it reads."""
        publication = self._publication()
        with self._lock:
            service = self._service(name)
            records = {node: self._record(id_) for node, id_ in publication.pins.items()}
            promoted = records.get(str(service.name))
            told = promoted.facts.get("serving") if promoted is not None else None
            if not told:
                raise ServiceError(
                    f"{service.name} has no model yet",
                    hint="`lichen run` trains one and puts it to the gate",
                )
            pinned = Pinned(publication.id, publication.now, Shelf(records, self._loop.lake))
            return self._loaded(service, int(told["version"]), told["sha256"]), pinned

    def _loaded(self, service: Service, version: int, sha256: str) -> Serving:
        """Return a version, loaded once; its definitions are those that it was trained with."""
        name = service.name.name
        serving = self._servings.get((name, version))
        if serving is not None:
            return serving
        post = self._post(service, version)
        if self._learners is None:
            self._learners = open_learners()
        folder, model = self._loop.folder, service.model.name
        trained = load_version(folder, model, version, self._learners, sha256)
        serving = Serving(name, model, version, trained, post.state)
        self._servings[name, version] = serving
        return serving

    def _post(self, service: Service, version: int) -> _Post:
        post = self._posts.get(service.name.name)
        if post is None:
            post = self._read(self._loop, service)
        wanted = self._trained(post, version).body["fingerprint"]
        if post.fingerprint != wanted:  # the files may have changed since they were read
            post = self._read(open_loop(self._loop.project.root, self._loop.target), service)
        if post.fingerprint != wanted:
            raise ServiceError(
                f"version {version} of {service.model} was trained with other definitions than "
                "those in the project folder",
                hint="`lichen run` trains with the new ones; until then put the files back",
            )
        self._posts[service.name.name] = post
        return post

    def _read(self, loop: Loop, service: Service) -> _Post:
        inquiry = loop.inquiry(service.model)
        fingerprint = loop.project.prints[service.model].whole()
        horizon = service.horizon
        if self._since is not None:
            horizon = max(horizon, self._publication().now - self._since)
        state = OnlineState(inquiry, open_online(), self._loop.engine, horizon)
        return _Post(service, inquiry, fingerprint, state)

    def _trained(self, post: _Post, version: int) -> Record:
        model = str(post.service.model)
        done = [r for r in self._loop.ledger.history(model) if r.state == "done"]
        for record in reversed(done):
            if record.sequence == version:
                return record
        raise ServiceError(f"the ledger does not know version {version} of {model}")

    def _journal(self, service: str, kind: Kind) -> Journal:
        with self._lock:
            if (service, kind) not in self._journals:
                self._journals[service, kind] = Journal(self._loop.folder, service, kind)
            return self._journals[service, kind]

    def _publication(self) -> Publication:
        if not (self._loop.folder / "ledger.db").exists():
            publication = None
        else:
            publication = self._loop.ledger.publication()
        if publication is None:
            raise ServiceError("nothing is published yet", hint="lichen run")
        return publication

    def _record(self, id_: int) -> Record:
        if id_ not in self._records:
            if len(self._records) > 1000:
                self._records.clear()
            self._records[id_] = self._loop.ledger.record(id_)
        return self._records[id_]

    def _service(self, name: str | None) -> Service:
        return _named(self.services(), name)


def _named(services: Sequence[Service], name: str | None) -> Service:
    """Return the service of that name, or the one of a model of that name."""
    found = list(services)
    if name is not None:
        kind, _, bare = name.rpartition(".")
        by_name = [s for s in services if s.name.name == bare and kind != Kind.model]
        by_model = [s for s in services if s.model.name == bare and kind != Kind.service]
        found = by_name or by_model
    if len(found) == 1:
        return found[0]
    allowed = sorted(s.name.name for s in found or services)
    what = "say which service is meant" if found else f"there is no service {name!r}"
    raise NotServed(what, allowed=allowed, given=name)


class NotServed(ServiceError):
    """What is asked for has no service of that name."""


def routes(desk: Desk) -> Routes:
    """Return what each route of the HTTP interface does."""
    return Routes(
        predict=lambda name, body: {"predictions": desk.predict(name, body)},
        outcomes=lambda body: {"taken": desk.tell(body)},
        model=desk.model,
        health=desk.health,
        error=_told,
    )


def _told(error: Exception) -> tuple[int, dict[str, Any]]:
    """Return a status and what a client may hear: nothing of the machine, no traceback."""
    match error:
        case Malformed():
            return 400, as_json(error)
        case NotServed():
            return 404, as_json(error)
        case ServiceError():
            return 503, as_json(error)
        case _:
            return 500, {"what": "the service could not answer"}
