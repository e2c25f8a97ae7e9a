"""The MQTT connector: topics of a broker, read in a session that it keeps for us.

A message is acknowledged only once it is committed, so the broker sends what is not. A run that
died between the two is told by its cursor which messages it landed already: their packet ids, and
a digest of each. Sent again (marked so, under the same id, with the same content) they are
recognised, left out and acknowledged.
"""

from __future__ import annotations

import secrets
from typing import ClassVar, Literal

from lichen.adapters.sources.mqttcursor import Landed, Note, decoded
from lichen.adapters.sources.mqttlink import Access, Link
from lichen.adapters.sources.mqttreading import MqttReading, Room, Turn
from lichen.adapters.sources.mqtttopics import filters
from lichen.core.errors import LichenError, SourceError
from lichen.core.secrets import refers
from lichen.core.steps import Mark
from lichen.core.time import duration
from lichen.ports.source import Limits, Outside, Settings, Tls

_MOST = 65_535  # ids that MQTT has for what waits for its acknowledgement
_PORT, _TLS_PORT = 1883, 8883


class MqttSettings(Settings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a source of MQTT may say besides.

    `topics` are filters; `client` names the session (by default it is named after the project, the
    target and the source), `session` says how long the broker keeps it while nobody reads (else
    for good; version 5 only). A reading ends once nothing came for as long as `quiet`.
    """

    SECRETS: ClassVar[frozenset[str]] = frozenset({"password"})
    ASIDE: ClassVar[frozenset[str]] = frozenset(
        {"broker", "port", "version", "client", "session", "quiet", "user", "tls"}
    )

    broker: str
    port: int | None = None
    topics: str | list[str]
    format: Literal["json", "text"] = "json"
    version: Literal[5, "3.1.1"] = 5
    client: str | None = None
    session: str | None = None
    quiet: str = "1 s"
    user: str | None = None
    password: str | None = None
    tls: Tls | bool = False


class Mqtt:
    """Reads what a broker sends in a session; what was acknowledged is gone there."""

    Settings = MqttSettings

    def __init__(self, settings: MqttSettings, outside: Outside) -> None:
        self._outside = outside
        self._filters = filters(settings.topics)
        self._settings = settings
        self._access: Access | None = None
        self._link: Link | None = None
        self._given: str | None = None  # the cursor up to which this link's messages were given
        self._unheard = False  # an acknowledgement did not get through
        self.quiet = _seconds("quiet", settings.quiet)
        self.text = settings.format == "text"
        self.part = ", ".join(self._filters)
        self.turn = Turn()
        self.room = Room(max(1, _window(settings) // 2))
        _expiry(settings)
        _check_address(settings)

    def look(self, cursor: str | None) -> Mark:
        """Return a new mark: what there is, only taking tells.

        The first look subscribes: what is sent from then on is kept for us. A later one leaves the
        broker alone, since a session has one reader, and that may be another process. Only where
        the connection is still open, and brought nothing since, the mark is the one before.
        """
        if cursor is None:
            self.linked(None)
        count = decoded(cursor).count
        gone = f"the broker forgot the {count:,} messages that were acknowledged" if count else ""
        link, turn = self._link, self.turn
        idle = link is not None and link.lost is None and not link.waiting()
        if idle and cursor is not None and turn.reached == cursor:
            return Mark(until=turn.mark, said="nothing came", gone=gone)
        until = secrets.token_hex(8)
        return Mark(until=until, said="the broker is asked", gone=gone, passing=True)

    def read(self, cursor: str | None, mark: Mark, limits: Limits) -> MqttReading:
        """Read what the broker sends until it is quiet, or holds back for acknowledgements."""
        return MqttReading(self, cursor, mark, limits)

    def acknowledge(self, cursor: str) -> None:
        """Acknowledge what a cursor says was landed; returns once the broker has heard it."""
        link, landed = self._link, decoded(cursor)
        if link is None or not landed.ids:
            return  # what the broker has not heard of it sends again, and the cursor tells
        self._unheard = True
        self.room.heard = link.acknowledge(landed.ids)
        self._unheard = False
        if not landed.less(link.answered).ids:
            self._note().heard(cursor)

    def close(self) -> None:
        """Leave the broker; the session stays there."""
        link, self._link, self._given = self._link, None, None
        if link is not None:
            link.close()

    def linked(self, cursor: str | None) -> Link:
        """Return a connection that did not yet give what comes after a cursor."""
        stale = self._given is not None and self._given != cursor
        if self._link is not None and (stale or self._link.lost is not None):
            self.close()  # what was not acknowledged is sent once more
        if self._link is None:
            self._link = self._connected(cursor)
        return self._link

    def landed(self, link: Link, cursor: str | None) -> Landed:
        """Return what was landed, less what the broker is known to have heard of."""
        found = decoded(cursor)
        if cursor is not None and self._note().has_heard(cursor):
            return Landed(found.count)
        return found.less(link.answered)

    def giving(self, cursor: str) -> None:
        """Keep in mind up to where this connection's messages were given."""
        self._given = cursor

    @property
    def unheard(self) -> bool:
        """Whether the last acknowledgement did not get through."""
        return self._unheard

    def _connected(self, cursor: str | None) -> Link:
        access, note = self._reached(), self._note()
        link = Link(access, self._outside)
        before = note.connecting()
        link.connect()
        try:
            if link.kept and (dropped := set(before or ()).difference(self._filters)):
                link.unsubscribe(dropped)
            # Brokers before version 5 send all that they retain once more at each subscription.
            if access.five or not link.kept or before is None or set(self._filters) - set(before):
                link.subscribe(self._filters)
            note.subscribed(self._filters)
            if cursor is not None and not link.kept:
                raise link.trouble(
                    f"it no longer has the session {access.client!r}, so what was sent to it since "
                    "it was last read is lost",
                    "the next run goes on from here; find out why it is gone: another broker or "
                    "client, a restart without persistence, an expiry",
                )
        except LichenError:
            link.close()
            raise
        return link

    def _reached(self) -> Access:
        if self._access is None:
            self._access = _access(self._settings, self._outside)
        return self._access

    def _note(self) -> Note:
        access = self._reached()
        return Note(self._outside.folder, access.address, access.client)


def _access(settings: MqttSettings, outside: Outside) -> Access:
    """Resolve what is only referred to, just before it is needed."""
    user, password = (
        outside.secret(said) if said is not None and refers(said) else said
        for said in (settings.user, settings.password)
    )
    kind, _, name = outside.node.partition(".")
    return Access(
        host=settings.broker,
        port=settings.port or (_TLS_PORT if settings.tls else _PORT),
        client=settings.client or f"lichen-{outside.root.name}-{outside.target}-{name or kind}",
        five=settings.version == 5,
        expiry=_expiry(settings),
        window=_window(settings),
        tls=Tls() if settings.tls is True else settings.tls or None,
        user=user,
        password=password,
    )


def _window(settings: MqttSettings) -> int:
    """Room for two landings: one is committed while the next one comes."""
    return min(_MOST, 2 * settings.limits.rows)


def _expiry(settings: MqttSettings) -> int | None:
    if settings.session is None:
        return None
    if settings.version != 5:
        raise SourceError(
            "session: only version 5 can ask for it", hint="the broker's own settings say how long"
        )
    return int(_seconds("session", settings.session))


def _check_address(settings: MqttSettings) -> None:
    if "/" in settings.broker or not settings.broker or "@" in settings.broker:
        raise SourceError(
            "broker: a host is meant, no URL",
            hint="say broker: HOST, and port, tls, user and password as settings of their own",
        )
    if settings.port is not None and not 0 < settings.port < 2**16:
        raise SourceError(f"port: {settings.port} is none", allowed=("1 to 65535",))


def _seconds(what: str, text: str) -> float:
    try:
        seconds = duration(text).total_seconds()
    except LichenError as error:
        raise SourceError(f"{what}: {error.what}", allowed=error.allowed) from error
    if seconds <= 0:
        raise SourceError(f"{what}: {text!r} is no time at all")
    return seconds
