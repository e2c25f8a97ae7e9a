"""One table of Cassandra: its shape, pages of it by token range, and errors that say what next."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from lichen.core.errors import SourceAway, SourceError
from lichen.core.extras import needed
from lichen.ports.source import Outside, Tls

logging.getLogger("cassandra").addHandler(logging.NullHandler())  # errors tell what it would log
_MURMUR = "Murmur3Partitioner"
_PROTOCOL = 5  # of Cassandra 4 and newer


class Access(NamedTuple):
    """Where the nodes are and who asks; `password` refers to a secret."""

    hosts: tuple[str, ...]
    port: int
    datacenter: str | None
    consistency: str
    user: str | None
    password: str | None
    tls: Tls | None


class Shape(NamedTuple):
    """What a table is: its own identity, its columns with their types, and its partition key."""

    id: str
    columns: dict[str, str]
    partition: tuple[str, ...]


class Page(NamedTuple):
    """Some rows, and the state with which the next page is asked for (None: there is none)."""

    names: list[str]
    types: list[Any]
    rows: list[Sequence[Any]]
    state: bytes | None


class Table:
    """Reads one table; it connects at the first question."""

    def __init__(self, keyspace: str, name: str, access: Access, outside: Outside) -> None:
        self.part = f"{keyspace}.{name}"
        self._keyspace, self._name = keyspace, name
        self._access, self._outside = access, outside
        self._cluster: Any = None
        self._session: Any = None
        self._prepared: dict[str, Any] = {}

    def shape(self) -> Shape:
        """Return what the table is; raises SourceError where there is none."""
        with self._asking() as session:
            self._cluster.refresh_schema_metadata()
            spaces = self._cluster.metadata.keyspaces
            partitioner = str(self._cluster.metadata.partitioner)
            if self._keyspace not in spaces:
                raise self._missing("keyspace", self._keyspace, sorted(spaces))
            tables = spaces[self._keyspace].tables
            if self._name not in tables:
                raise self._missing("table", self._name, sorted(tables))
            found = tables[self._name]
            asks = "select id from system_schema.tables where keyspace_name=%s and table_name=%s"
            (row,) = session.execute(asks, (self._keyspace, self._name))
        if not partitioner.endswith(_MURMUR):
            raise self.trouble(f"its partitioner is {partitioner}", f"only {_MURMUR} can be read")
        columns = {name: column.cql_type for name, column in found.columns.items()}
        return Shape(str(row[0]), columns, tuple(key.name for key in found.partition_key))

    def page(self, cql: str, values: Sequence[Any], most: int, state: bytes | None) -> Page:
        """Return a page of what a statement with bound values gives."""
        with self._asking() as session:
            if cql not in self._prepared:
                self._prepared[cql] = session.prepare(cql)
            bound = self._prepared[cql].bind(values)
            bound.fetch_size = most
            found = session.execute(bound, paging_state=state)
            rows = list(found.current_rows or ())
            return Page(
                list(found.column_names), list(found.column_types), rows, found.paging_state
            )

    def selected(self, shape: Shape, onward: str | None) -> str:
        """Return the statement of one token range, of rows from a value of a column on."""
        escape = needed("cassandra.metadata", "cassandra").escape_name
        columns = ", ".join(map(escape, shape.columns))
        token = f"token({', '.join(map(escape, shape.partition))})"
        table = f"{escape(self._keyspace)}.{escape(self._name)}"
        cql = f"select {columns} from {table} where {token} > ? and {token} <= ?"  # noqa: S608
        return f"{cql} and {escape(onward)} >= ? allow filtering" if onward else cql

    def close(self) -> None:
        """Close the connections."""
        cluster, self._cluster, self._session = self._cluster, None, None
        self._prepared.clear()
        if cluster is not None:
            cluster.shutdown()

    def trouble(self, what: str, hint: str, kind: type[SourceError] = SourceError) -> SourceError:
        """Return an error about this table."""
        place = ", ".join(f"{host}:{self._access.port}" for host in self._access.hosts)
        text = f"the Cassandra table {self.part} at {place}: {what}"
        return kind(text, where=self._outside.where, hint=hint)

    def _missing(self, what: str, name: str, allowed: Sequence[str]) -> SourceError:
        return SourceError(
            f"there is no {what} {name!r}", where=self._outside.where, allowed=allowed, given=name
        )

    @contextmanager
    def _asking(self) -> Iterator[Any]:
        root = needed("cassandra", "cassandra")
        cluster = needed("cassandra.cluster", "cassandra")
        late = (root.OperationTimedOut, root.ReadTimeout, root.Unavailable)
        try:
            self._session = self._session or self._opened(cluster)
            yield self._session
        except cluster.NoHostAvailable as error:
            self.close()
            inner = list(error.errors.values()) if isinstance(error.errors, dict) else []
            if any(isinstance(each, root.AuthenticationFailed) for each in inner):
                raise self.trouble("it refused us", "see `user` and `password`") from error
            hint = "see `hosts`, `port` and `tls`; `timeout` and `retries` give it more time"
            raise self.trouble("no node answers", hint, SourceAway) from error
        except late as error:
            self.close()
            what = f"no answer in time ({type(error).__name__})"
            hint = "see `timeout`, `consistency` and `retries`"
            raise self.trouble(what, hint, SourceAway) from error
        except root.Unauthorized as error:
            raise self.trouble("it refused us", "the user needs SELECT on the table") from error
        except root.RequestExecutionException as error:
            raise self.trouble(f"it answered: {error}", "run again later", SourceAway) from error
        except (root.InvalidRequest, root.DriverException) as error:
            raise self.trouble(f"it answered: {error}", "see its settings") from error

    def _opened(self, cluster: Any) -> Any:
        policies = needed("cassandra.policies", "cassandra")
        access, timeout = self._access, self._outside.timeout
        near = policies.RoundRobinPolicy()
        if access.datacenter is not None:
            near = policies.DCAwareRoundRobinPolicy(local_dc=access.datacenter)
        profile = cluster.ExecutionProfile(
            load_balancing_policy=near,
            retry_policy=policies.FallthroughRetryPolicy(),  # the stage tries again
            consistency_level=needed("cassandra", "cassandra").ConsistencyLevel.name_to_value[
                access.consistency
            ],
            request_timeout=timeout,
            row_factory=needed("cassandra.query", "cassandra").tuple_factory,
        )
        own: dict[str, Any] = {}
        if access.user is not None and access.password is not None:
            provider = needed("cassandra.auth", "cassandra").PlainTextAuthProvider
            secret = self._outside.secret(access.password)
            own["auth_provider"] = provider(username=access.user, password=secret)
        if access.tls is not None:
            own["ssl_context"] = _tls(access.tls, self._outside)
        self._cluster = cluster.Cluster(
            list(access.hosts),
            port=access.port,
            execution_profiles={cluster.EXEC_PROFILE_DEFAULT: profile},
            protocol_version=_PROTOCOL,
            connect_timeout=timeout,
            control_connection_timeout=timeout,
            monitor_reporting_enabled=False,
            **own,
        )
        return self._cluster.connect()


def _tls(tls: Tls, outside: Outside) -> Any:
    import ssl

    context = ssl.create_default_context(cafile=str(outside.root / tls.ca) if tls.ca else None)
    context.check_hostname = False  # nodes tell each other's addresses, not names
    if not tls.verify:
        context.verify_mode = ssl.CERT_NONE
    if tls.cert:
        key = str(outside.root / tls.key) if tls.key else None
        context.load_cert_chain(str(outside.root / tls.cert), key)
    return context
