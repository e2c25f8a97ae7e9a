"""One collection of MongoDB, with timeouts, and errors that say what next."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from lichen.core.errors import SourceAway, SourceError
from lichen.core.extras import needed
from lichen.ports.source import Outside, Tls

_AUTHENTICATION, _UNAUTHORIZED = 18, 13  # codes of refusals
_PIECE = 2_000  # documents that a server sends at a time


class Access(NamedTuple):
    """Where the servers are and who asks; `password` refers to a secret."""

    hosts: tuple[str, ...]
    srv: bool
    replica_set: str | None
    user: str | None
    password: str | None
    auth_database: str
    tls: Tls | None


class Collection:
    """Reads one collection; it connects at the first question."""

    def __init__(self, database: str, name: str, access: Access, outside: Outside) -> None:
        self.part = f"{database}.{name}"
        self._database, self._name = database, name
        self._access, self._outside = access, outside
        self._client: Any = None

    def identity(self) -> str:
        """Return what tells the collection from another of its name; raises if there is none."""
        with self._asking() as client:
            told = list(client[self._database].list_collections())
        names = sorted(each["name"] for each in told)
        if self._name not in names:
            raise SourceError(
                f"the database {self._database!r} at {self.place} has no collection {self._name!r}",
                where=self._outside.where,
                allowed=names,
                given=self._name,
            )
        (found,) = [each for each in told if each["name"] == self._name]
        return str(found.get("info", {}).get("uuid", ""))

    def find(
        self, query: Mapping[str, Any], order: Sequence[tuple[str, int]] = (), most: int = 0
    ) -> Iterator[bytes]:
        """Yield documents as BSON."""
        raw = needed("bson.raw_bson", "mongodb").RawBSONDocument
        options = needed("bson.codec_options", "mongodb").CodecOptions(document_class=raw)
        with self._asking() as client:
            collection = client[self._database].get_collection(self._name, codec_options=options)
            cursor = collection.find(dict(query), batch_size=_PIECE, limit=most)
            with cursor.sort(list(order)) if order else cursor as found:
                for document in found:
                    yield bytes(document.raw)

    def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    @property
    def place(self) -> str:
        """Where the servers are, in words."""
        return ", ".join(self._access.hosts)

    def trouble(self, what: str, hint: str, kind: type[SourceError] = SourceError) -> SourceError:
        """Return an error about this collection."""
        text = f"the MongoDB collection {self.part} at {self.place}: {what}"
        return kind(text, where=self._outside.where, hint=hint)

    @contextmanager
    def _asking(self) -> Iterator[Any]:
        errors = needed("pymongo.errors", "mongodb")
        seconds = f"{self._outside.timeout:g} s"
        try:
            self._client = self._client or self._opened()
            yield self._client
        except errors.OperationFailure as error:
            if error.code in (_AUTHENTICATION, _UNAUTHORIZED):
                hint = "see `user`, `password` and `auth_database`; it needs to read the collection"
                raise self.trouble(f"it refused us (code {error.code})", hint) from error
            said = (error.details or {}).get("errmsg", "") or f"code {error.code}"
            raise self.trouble(f"it answered: {said}", "see `filter` and `incremental`") from error
        except (errors.ServerSelectionTimeoutError, errors.NetworkTimeout) as error:
            hint = "see `hosts` and `tls`; `timeout` and `retries` give it more time"
            raise self.trouble(f"no answer within {seconds}", hint, SourceAway) from error
        except errors.ConnectionFailure as error:
            hint = "see `hosts`, or run again later"
            raise self.trouble("the connection was lost", hint, SourceAway) from error
        except (errors.ConfigurationError, errors.InvalidURI) as error:
            raise self.trouble(f"it cannot be asked so: {error}", "see its settings") from error

    def _opened(self) -> Any:
        access, milliseconds = self._access, max(1, int(self._outside.timeout * 1000))
        own: dict[str, Any] = {"replicaSet": access.replica_set} if access.replica_set else {}
        if access.user is not None:
            own |= {"username": access.user, "authSource": access.auth_database}
        if access.password is not None:
            own["password"] = self._outside.secret(access.password)
        return needed("pymongo", "mongodb").MongoClient(
            host=f"mongodb+srv://{access.hosts[0]}" if access.srv else list(access.hosts),
            appname="lichen",
            connectTimeoutMS=milliseconds,
            socketTimeoutMS=milliseconds,
            serverSelectionTimeoutMS=milliseconds,
            retryReads=False,  # the stage tries again
            **own,
            **self._tls(),
        )

    def _tls(self) -> dict[str, Any]:
        tls, root = self._access.tls, self._outside.root
        if tls is None:
            return {}
        said: dict[str, Any] = {"tls": True, "tlsAllowInvalidCertificates": not tls.verify}
        if tls.ca:
            said["tlsCAFile"] = str(root / tls.ca)
        if tls.cert:
            said["tlsCertificateKeyFile"] = str(root / tls.cert)
        return said
