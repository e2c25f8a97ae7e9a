"""A service as a process, by default the depot's, and what a client sees of it."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any


class Client:
    """A service's process and a connection to it."""

    def __init__(self, process: subprocess.Popen[str], port: int, service: str = "late") -> None:
        self.process, self.port, self.service = process, port, service

    def call(self, path: str, body: Any = None) -> tuple[int, Any]:
        """Return status and answer; a body that is no bytes is sent as JSON."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request("GET" if body is None else "POST", path, sent)
        response = connection.getresponse()
        told = response.status, json.loads(response.read())
        connection.close()
        return told

    def predict(self, *instances: dict[str, Any]) -> list[dict[str, Any]]:
        """Return the answers."""
        status, told = self.call(f"/v1/models/{self.service}/predict", {"instances": instances})
        assert status == 200, told
        return list(told["predictions"])


@contextmanager
def serving(root: Path, service: str = "late") -> Iterator[Client]:
    """Run `lichen serve` as a process of its own; it ends with SIGTERM, and without complaint."""
    command = [sys.executable, "-m", "lichen", "serve", service, "-C", str(root), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("listening on http://127.0.0.1:"), line
            yield Client(process, int(line.rsplit(":", 1)[1]), service)
        finally:
            killed = process.poll() == -signal.SIGKILL
            process.terminate()
            assert process.wait(30) == 0 or killed


def instance(parcel: dict[str, Any]) -> dict[str, Any]:
    """The question about a parcel, at its own moment."""
    at = parcel["promised_at"] - timedelta(hours=2)
    return {"key": parcel["parcel_id"], "at": at.isoformat()}


def logged(root: Path, kind: str = "predictions") -> list[dict[str, Any]]:
    """The complete lines of the service's log."""
    paths = sorted((root / ".lichen/dev/log/late").glob(f"{kind}-*.ndjson"))
    texts = [path.read_text() for path in paths]
    return [
        json.loads(line) for text in texts for line in text.splitlines(True) if line[-1] == "\n"
    ]
