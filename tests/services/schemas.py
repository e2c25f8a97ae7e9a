"""A stand-in for a schema registry: no real one can be had without Docker.

Confluent's is not among Maven's public artefacts, Apicurio's server is not there as a program,
and Karapace is not on PyPI. `standin_registry.py` says what is left out.
"""

import json
import sys
import urllib.request
from pathlib import Path

from tests.services.frame import Launch, Room

NAME = "schemas"
TITLE = "Schemas"
PORTS = {"main": 18081}
SECONDS = 15.0

PROGRAM = Path(__file__).with_name("standin_registry.py")


def missing() -> str | None:
    """None: it is part of these tests and needs nothing but Python."""
    return None


def install() -> None:
    """Do nothing."""


def launches(room: Room) -> list[Launch]:
    """Say how to run the stand-in on its file of schemas."""
    return [Launch([sys.executable, PROGRAM, str(room.port), room.folder / "schemas.jsonl"])]


def answer(room: Room) -> str:
    """Ask which kinds of schema it takes."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(f"http://{room.address}/schemas/types", timeout=3) as reply:
        return f"stand-in for tests: {', '.join(json.load(reply))}"
