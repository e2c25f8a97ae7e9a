"""One connection to an MQTT broker: its session, what it sends, and what it is told to forget.

A thread of the client's receives; who reads takes from here. Nothing is acknowledged before it is
asked for (the client's manual acknowledgement), so a broker sends again what nobody kept.
"""

from __future__ import annotations

import math
import ssl
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

from lichen.adapters.sources.mqttcursor import Marks
from lichen.core.errors import LichenError, SourceError
from lichen.core.extras import needed
from lichen.ports.source import Outside, Tls

TICK = 0.01  # seconds between two looks at what came
HELD = 256 * 2**20  # bytes that wait here; beyond it the socket is not read for a while
_FOREVER = 0xFFFFFFFF  # a session that does not expire
_NOBODYS = "lichen/asks/whether/all/was/heard"  # unsubscribed from, though never subscribed to


class Message(NamedTuple):
    """What a broker sent; `id` is 0 where it wants no acknowledgement, `at` is in us."""

    id: int
    topic: str
    payload: bytes
    retained: bool
    again: bool  # the broker says that it sent it before
    at: int


@dataclass(frozen=True)
class Access:
    """How a broker is reached, and which session is ours. `five` is the protocol's version 5."""

    host: str
    port: int
    client: str
    five: bool
    expiry: int | None  # seconds for which the broker keeps the session; None: for good
    window: int  # how many messages may wait for their acknowledgement
    tls: Tls | None
    user: str | None
    password: str | None

    @property
    def address(self) -> str:
        """The broker, as errors name it."""
        return f"{self.host}:{self.port}"


@dataclass
class Link:
    """A connection that is up, or was: `lost` says why it no longer is.

    `kept` says whether the broker had kept our session. `unanswered` are the messages that were
    taken from here and wait for their acknowledgement, `answered` the last that the broker has
    heard of, and `firsts` the last that it sent for the first time, each by packet id.
    """

    access: Access
    outside: Outside
    kept: bool = False
    unanswered: dict[int, Marks] = field(default_factory=dict)
    answered: dict[int, Marks] = field(default_factory=dict)
    firsts: dict[int, int] = field(default_factory=dict)
    lost: str | None = None
    _came: deque[Message] = field(default_factory=deque)
    _bytes_in: int = 0  # written by the client's thread alone
    _bytes_out: int = 0  # written by the reader's thread alone
    _closing: bool = False
    _replies: dict[str, Any] = field(default_factory=dict)
    _client: Any = None

    def connect(self) -> None:
        """Connect to the session; raises SourceError."""
        module = needed("paho.mqtt.client", "mqtt")
        five = self.access.five
        version = module.MQTTv5 if five else module.MQTTv311
        clean = {} if five else {"clean_session": False}
        client = self._client = module.Client(
            module.CallbackAPIVersion.VERSION2,
            client_id=self.access.client,
            protocol=version,
            manual_ack=True,
            reconnect_on_failure=False,
            **clean,
        )
        client.connect_timeout = self.outside.timeout
        if self.access.user is not None:
            client.username_pw_set(self.access.user, self.access.password)
        if self.access.tls is not None:
            client.tls_set_context(_tls(self.access.tls, self.outside))
        client.on_connect, client.on_disconnect = self._on_connect, self._on_disconnect
        client.on_subscribe, client.on_unsubscribe = self._on_subscribe, self._on_unsubscribe
        client.on_message = self._on_message
        keepalive = max(1, math.ceil(self.outside.timeout))
        try:
            client.connect(self.access.host, self.access.port, keepalive, **self._properties())
        except (OSError, ValueError) as error:
            what = f"it cannot be reached: {_said(error)}"
            raise self.trouble(what, _hint(error)) from error
        client.loop_start()
        refused, self.kept = self._reply("connect", "it does not answer our greeting")
        if refused:
            self.close()
            who = f"the user {self.access.user!r}" if self.access.user else "who comes without user"
            raise self.trouble(f"it refuses {who}: {refused}", "check user, password and client")

    def subscribe(self, filters: Sequence[str]) -> None:
        """Subscribe; what a broker retains comes only with what was not subscribed to before.

        That only brokers of version 5 can be told; others send it again each time.
        """
        options: Any = 1
        if self.access.five:
            module = needed("paho.mqtt.subscribeoptions", "mqtt")
            once = module.SubscribeOptions.RETAIN_SEND_IF_NEW_SUB
            options = module.SubscribeOptions(qos=1, retainHandling=once)
        self._replies.pop("subscribe", None)
        self._client.subscribe([(name, options) for name in filters])
        codes = self._reply("subscribe", "it does not answer our subscription")
        for name, (failed, granted, said) in zip(filters, codes, strict=True):
            if failed:
                raise self.trouble(
                    f"it refuses the subscription to {name!r}: {said}",
                    "ask who runs it whether this user may read that topic",
                )
            if granted != 1:
                raise self.trouble(
                    f"it gives {name!r} without acknowledgements (QoS {granted})",
                    "messages would be lost: Lichen reads with QoS 1 only",
                )

    def unsubscribe(self, filters: Iterable[str]) -> None:
        """Subscribe no longer."""
        self._replies.pop("unsubscribe", None)
        self._client.unsubscribe(list(filters))
        self._reply("unsubscribe", "it does not answer")

    def heard(self) -> None:
        """Wait until the broker has read all that it was told; raises SourceError.

        MQTT has no question for that. A broker reads in order, and must answer that we no longer
        want what we never wanted.
        """
        self.unsubscribe([_NOBODYS])

    def take(self, most: int, size: int) -> list[Message]:
        """Take messages that came, up to a number and about a size; may be none."""
        found: list[Message] = []
        while self._came and len(found) < most and size > 0:
            message = self._came.popleft()
            found.append(message)
            size -= len(message.payload)
            self._bytes_out += len(message.payload)
        return found

    def waiting(self) -> int:
        """Return how many messages came and were not taken yet."""
        return len(self._came)

    def alive(self) -> None:
        """Do nothing while the connection is up; raises SourceError."""
        if self.lost is not None:
            raise self.trouble(f"the connection was lost: {self.lost}", _LOST)

    def acknowledge(self, landed: Mapping[int, Marks]) -> int:
        """Acknowledge what was landed and came here; returns how much, once the broker heard it.

        Under one id a broker takes the first message to be meant, so none is passed over.
        """
        heard: dict[int, Marks] = {}
        for id_, marks in landed.items():
            here = self.unanswered.get(id_, ())
            if first := tuple(takewhile(marks.__contains__, here)):
                heard[id_] = first
                for _ in first:
                    self._client.ack(id_, 1)
        if not heard:
            return 0
        self.heard()
        for id_, marks in heard.items():
            rest = self.unanswered.pop(id_)[len(marks) :]
            self.unanswered |= {id_: rest} if rest else {}
            self.answered[id_] = marks
        return sum(map(len, heard.values()))

    def close(self) -> None:
        """Leave; the session stays with the broker."""
        self._closing = True
        self._client.disconnect()
        self._client.loop_stop()

    def trouble(self, what: str, hint: str) -> SourceError:
        """Return an error that names the broker."""
        text = f"the broker at {self.access.address}: {what}"
        return SourceError(text, where=self.outside.where, hint=hint)

    def _properties(self) -> dict[str, Any]:
        if not self.access.five:
            return {}
        made = needed("paho.mqtt.properties", "mqtt").Properties(
            needed("paho.mqtt.packettypes", "mqtt").PacketTypes.CONNECT
        )
        made.SessionExpiryInterval = _FOREVER if self.access.expiry is None else self.access.expiry
        made.ReceiveMaximum = self.access.window
        return {"clean_start": False, "properties": made}

    def _reply(self, name: str, missing: str) -> Any:
        until = time.monotonic() + self.outside.timeout
        while name not in self._replies:
            if self.lost is not None or time.monotonic() > until:
                self.lost = self.lost or missing
                lost = self.lost
                self.close()
                raise self.trouble(lost, _LOST)
            time.sleep(TICK)
        return self._replies[name]

    def _on_connect(self, _: Any, __: Any, flags: Any, reason: Any, ___: Any) -> None:
        refused = str(reason) if reason.is_failure else ""
        self._replies["connect"] = (refused, bool(flags.session_present))

    def _on_subscribe(self, _: Any, __: Any, ___: int, codes: Any, ____: Any) -> None:
        said = [(code.is_failure, code.value, str(code)) for code in codes]
        self._replies["subscribe"] = said

    def _on_unsubscribe(self, _: Any, __: Any, ___: int, ____: Any, _____: Any) -> None:
        self._replies["unsubscribe"] = True

    def _on_disconnect(self, _: Any, __: Any, ___: Any, reason: Any, ____: Any) -> None:
        if self.lost is None and not self._closing:
            self.lost = str(reason)

    def _on_message(self, _: Any, __: Any, message: Any) -> None:
        payload = message.payload
        try:
            topic = message.topic
        except UnicodeDecodeError:  # no broker may send that
            self.lost = "it sent a topic that is no UTF-8 text"
            return
        self._came.append(
            Message(
                message.mid if message.qos else 0,
                topic,
                payload,
                message.retain,
                message.dup,
                time.time_ns() // 1000,
            )
        )
        self._bytes_in += len(payload)
        if self._bytes_in - self._bytes_out > HELD:
            self._hold_back()

    def _hold_back(self) -> None:
        """Read nothing for a while, but not so long that the broker thinks us dead."""
        until = time.monotonic() + max(1.0, self.outside.timeout / 4)
        while self._bytes_in - self._bytes_out > HELD and time.monotonic() < until:
            if self._closing:
                return
            time.sleep(TICK)


_LOST = "nothing is lost: what was not landed is sent again; run again when it can be reached"


def _said(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "it did not answer in time"
    return getattr(error, "strerror", None) or str(error)


def _hint(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return "check tls (ca, cert, key), and whether this port speaks TLS"
    return "check broker and port, and whether it runs"


def _tls(tls: Tls, outside: Outside) -> ssl.SSLContext:
    path: Callable[[str | None], Path | None] = lambda name: (  # noqa: E731
        outside.root / Path(name).expanduser() if name is not None else None
    )
    try:
        context = ssl.create_default_context(cafile=path(tls.ca))
        if tls.cert is not None:
            context.load_cert_chain(str(path(tls.cert)), path(tls.key))
    except (OSError, ValueError) as error:
        what = f"tls: a certificate cannot be used: {_said(error)}"
        raise LichenError(what, where=outside.where, hint="PEM files are meant") from error
    if not tls.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
