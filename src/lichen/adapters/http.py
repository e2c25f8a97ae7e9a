"""HTTP by Litestar and Granian: routes over a service's own functions, one process, loopback."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec
from granian.constants import Interfaces
from granian.server.embed import Server
from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.exceptions import HTTPException

from lichen.core.errors import LichenError, ServiceError
from lichen.ports.http import Routes

BODY = 8 * 2**20  # bytes of a request


def application(routes: Routes) -> Litestar:
    """Return the routes as an ASGI application."""

    @post("/v1/models/{name:str}/predict", status_code=200)
    async def predict(name: str, request: Request[Any, Any, Any]) -> Response[bytes]:
        return _json(await asyncio.to_thread(routes.predict, name, await request.body()))

    @post("/v1/outcomes", status_code=200)
    async def outcomes(request: Request[Any, Any, Any]) -> Response[bytes]:
        return _json(await asyncio.to_thread(routes.outcomes, await request.body()))

    @get("/v1/models/{name:str}")
    async def model(name: str) -> Response[bytes]:
        return _json(await asyncio.to_thread(routes.model, name))

    @get("/healthz")
    async def healthz() -> Response[bytes]:
        return _json(await asyncio.to_thread(routes.health))

    def told(_: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
        if isinstance(error, HTTPException):
            return _json({"error": {"what": error.detail}}, error.status_code)
        if not isinstance(error, LichenError):
            traceback.print_exception(error)  # for whoever runs the service; never for a client
        status, body = routes.error(error)
        return _json({"error": body}, status)

    return Litestar(
        [predict, outcomes, model, healthz],
        exception_handlers={Exception: told},
        request_max_body_size=BODY,
        openapi_config=None,
        logging_config=None,
    )


def serve(routes: Routes, host: str, port: int, ready: Callable[[str], None]) -> None:
    """Serve until SIGTERM or SIGINT, then finish what is under way; `ready` is given the URL."""
    logging.getLogger("_granian").setLevel(logging.ERROR)
    asyncio.run(_serve(application(routes), host, port or _free(host), ready))


async def _serve(app: Litestar, host: str, port: int, ready: Callable[[str], None]) -> None:
    server = Server(
        app, address=host, port=port, interface=Interfaces.ASGI, websockets=False, log_enabled=False
    )
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, server.stop)
    announced = loop.create_task(_announce(host, port, ready))
    try:
        await server.serve()
    except (OSError, RuntimeError) as error:
        raise ServiceError(
            f"cannot listen on {host}:{port}: {error}", hint="choose another one with --port"
        ) from error
    finally:
        announced.cancel()


async def _announce(host: str, port: int, ready: Callable[[str], None]) -> None:
    """Say where the server listens, once it accepts connections."""
    while True:
        with suppress(OSError):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
            break
        await asyncio.sleep(0.02)
    shown = f"[{host}]" if ":" in host else host
    ready(f"http://{shown}:{port}")


def _free(host: str) -> int:
    """Return a port that nobody listens on."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as found:
        found.bind((host, 0))
        return int(found.getsockname()[1])


def _json(value: Any, status: int = 200) -> Response[bytes]:
    return Response(msgspec.json.encode(value), status_code=status, media_type=MediaType.JSON)
