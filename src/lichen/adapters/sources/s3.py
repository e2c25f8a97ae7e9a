"""Files in a bucket of S3, or of a store that speaks like it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from lichen.adapters.sources.globs import is_glob, pattern, plain_part
from lichen.adapters.sources.stores import plain_allowed, told
from lichen.core.errors import SourceAway, SourceError
from lichen.core.extras import needed
from lichen.core.steps import Seen
from lichen.ports.source import Outside

_AT_ONCE = 4 << 20


class Bucket:
    """The files `s3://BUCKET/GLOB`."""

    def __init__(self, settings: Any, outside: Outside) -> None:
        """Read the settings; nothing is asked of a server yet."""
        parts = settings.path.removeprefix("s3://").split("/", 1)
        if len(parts) < 2 or not all(parts):
            raise SourceError(
                f"path: {settings.path!r} names no files", allowed=("s3://BUCKET/FOLDER/*.parquet",)
            )
        self._bucket, self._glob = parts
        self._settings, self._outside = settings, outside
        self._pattern = pattern(self._glob)
        self._open: Any = None
        endpoint = settings.endpoint
        if endpoint is not None and urlsplit(endpoint).scheme not in ("http", "https"):
            raise SourceError(
                f"endpoint: {endpoint!r} is no address", allowed=("https://HOST:PORT",)
            )
        if endpoint is not None and "@" in urlsplit(endpoint).netloc:
            raise SourceError(
                "endpoint: an address holds no password", hint="use secret_access_key"
            )
        if endpoint is not None and endpoint.startswith("http://"):
            plain_allowed(endpoint, settings.hosts, outside.where, "endpoint")
        if (settings.access_key_id is None) != (settings.secret_access_key is None):
            raise SourceError("access_key_id and secret_access_key belong together")

    def list(self) -> Iterator[Seen]:
        """Yield the objects that match."""
        store, root = self._store(), f"s3://{self._bucket}/"
        obstore = needed("obstore", "s3")
        try:
            if not is_glob(self._glob):
                yield self._seen(obstore.head(store, self._glob), root)
                return
            for page in obstore.list(store, plain_part(self._glob) or None, chunk_size=1000):
                for each in page:
                    if self._pattern.fullmatch(each["path"]) and not each["path"].endswith("/"):
                        yield self._seen(each, root)
        except Exception as error:
            raise self._away(error) from error

    def fetch(self, seen: Seen, write: Callable[[bytes], Any]) -> None:
        """Write an object's content, if it still is the one that was seen."""
        store, key = self._store(), seen.path.removeprefix(f"s3://{self._bucket}/")
        obstore = needed("obstore", "s3")
        try:
            found = obstore.get(store, key)
            now = self._seen(found.meta, f"s3://{self._bucket}/")
            if now.sha256 != seen.sha256:
                raise SourceAway(f"{seen.path} was replaced while it was read: run again")
            for block in found.stream(min_chunk_size=_AT_ONCE):
                write(bytes(block))
        except Exception as error:
            raise self._away(error) from error

    def close(self) -> None:
        """Let the client go."""
        self._open = None

    def _seen(self, meta: Any, root: str) -> Seen:
        modified = int(meta["last_modified"].timestamp())
        tag = meta.get("e_tag") or told([meta["size"], modified])
        return Seen(
            path=root + meta["path"],
            size=meta["size"],
            mtime_ns=modified * 10**9,
            sha256=f"etag:{tag.strip(chr(34))}",
        )

    def _store(self) -> Any:
        if self._open is None:
            store = needed("obstore.store", "s3").S3Store
            try:
                self._open = store(self._bucket, **self._options())
            except Exception as error:
                raise SourceError(f"this store cannot be used: {_said(error)}") from error
        return self._open

    def _options(self) -> dict[str, Any]:
        said, timeout = self._settings, timedelta(seconds=self._outside.timeout)
        endpoint = said.endpoint or f"https://s3.{said.region}.amazonaws.com"
        plain = endpoint.startswith("http://")
        client: dict[str, Any] = {
            "connect_timeout": timeout,
            "read_timeout": timeout,
            "timeout": timedelta(days=1),  # of a whole file: no wait within it is longer than ours
            "allow_http": plain,
        }
        if said.tls is not None and said.tls.ca is not None:
            client["root_certificate"] = (self._outside.root / said.tls.ca).read_bytes()
        if said.tls is not None and not said.tls.verify:
            client["allow_invalid_certificates"] = True
        options: dict[str, Any] = {
            "region": said.region,
            "endpoint": endpoint,
            "virtual_hosted_style_request": False,
            "client_options": client,
            "retry_config": {"max_retries": 2, "retry_timeout": timeout},
        }
        if said.access_key_id is None:
            return {**options, "skip_signature": True}
        secret = self._outside.secret
        options["access_key_id"] = secret(said.access_key_id)
        options["secret_access_key"] = secret(said.secret_access_key)
        if said.session_token is not None:
            options["session_token"] = secret(said.session_token)
        return options

    def _away(self, error: Exception) -> SourceError:
        if isinstance(error, SourceError):
            return error
        place = self._settings.endpoint or f"S3 in {self._settings.region}"
        kind = type(error).__name__
        if kind == "NotFoundError" or isinstance(error, FileNotFoundError):
            return SourceError(f"{self._settings.path!r} is missing at {place}")
        if kind in ("PermissionDeniedError", "UnauthenticatedError"):
            return SourceError(
                f"{place} refuses to show {self._settings.path!r}",
                hint="check access_key_id and secret_access_key, and what they may read",
            )
        return SourceAway(
            f"{place} cannot be read: {_said(error)}", hint="check endpoint and region, or wait"
        )


def _said(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
