"""What a server asks of the service behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Routes:
    """What each route does; results are encoded as JSON.

    `error` turns an exception into a status and what a client may be told of it.
    """

    predict: Callable[[str, bytes], Any]  # a model's name and the body
    outcomes: Callable[[bytes], Any]
    model: Callable[[str], Any]
    health: Callable[[], Any]
    error: Callable[[Exception], tuple[int, dict[str, Any]]]


class Server(Protocol):
    """Serves routes until the process is told to end."""

    def __call__(
        self, routes: Routes, host: str, port: int, ready: Callable[[str], None]
    ) -> None: ...
