"""`lichen serve`: the services of a project over HTTP, as a process of its own."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from lichen.cli import Misuse
from lichen.cli.options import USUAL, Options, ServiceName

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def serve(
    service: ServiceName | None = None,
    *,
    host: Annotated[str | None, Parameter(name="--host", help="Where to listen.")] = None,
    port: Annotated[
        int | None, Parameter(name="--port", help="0 takes a free one and says which.")
    ] = None,
    options: Options = USUAL,
) -> int:
    """Answer over HTTP until the process is told to end.

    Prints one line, `listening on http://HOST:PORT`, when it is ready. Listens on loopback unless
    --host says otherwise: there is no login.

    POST /v1/models/NAME/predict, POST /v1/outcomes, GET /v1/models/NAME, GET /healthz

    Parameters
    ----------
    service
        Only this one.
    """
    from lichen.desk import Desk, routes
    from lichen.wiring import open_http

    loop = options.open()
    desk = Desk(loop, only=service)
    declared = desk.services()[0]
    if host is None and declared.host not in LOOPBACK:
        raise Misuse(
            f"{declared.name} asks for {declared.host}, which other machines reach",
            allowed=LOOPBACK,
            hint=f"there is no login: say --host {declared.host} if that is meant",
        )
    desk.warm()
    try:
        open_http()(
            routes(desk),
            host or declared.host,
            declared.port if port is None else port,
            lambda url: print(f"listening on {url}", flush=True),
        )
    finally:
        desk.close()
    return 0
