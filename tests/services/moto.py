"""Moto as S3 and Kinesis, in an environment of its own; all it holds is in memory."""

import json
import sys
import urllib.error
import urllib.request
from typing import Any

from tests.services.frame import HOST, ROOT, Launch, Room, ServiceError, run

NAME = "moto"
TITLE = "Moto"
PORTS = {"main": 15000}
SECONDS = 40.0

REGION = "eu-central-1"
KEY_ID = "lichen"  # moto takes any
PINS = ROOT / "requirements" / "services.txt"
HOME = ROOT / ".services" / "kits" / "moto"
PYTHON = HOME / "bin" / "python"
DONE = HOME / "installed"  # a copy of the pins, written last: a broken or older install differs


def missing() -> str | None:
    """Why moto cannot start here; None when it can."""
    installed = DONE.read_text() if DONE.exists() else None
    return None if installed == PINS.read_text() else "its pinned packages are not installed yet"


def install() -> None:
    """Install the pinned packages into an environment of their own."""
    run([sys.executable, "-m", "venv", "--clear", HOME])
    pins = ["--require-hashes", "--no-deps", "--requirement", str(PINS)]
    run([PYTHON, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *pins])
    DONE.write_text(PINS.read_text())


def launches(room: Room) -> list[Launch]:
    """Say how to run the server."""
    serve = "from moto.server import main; main()"
    return [Launch([PYTHON, "-c", serve, "-H", HOST, "-p", str(room.port)])]


def answer(room: Room) -> str:
    """Ask Kinesis for its limits, and return moto's own version."""
    kinesis(room, "DescribeLimits", {})
    return run([PYTHON, "-c", "import moto; print(moto.__version__)"]).strip()


def bucket(room: Room, name: str) -> None:
    """Make an S3 bucket."""
    region = f"<LocationConstraint>{REGION}</LocationConstraint>"
    body = f"<CreateBucketConfiguration>{region}</CreateBucketConfiguration>"
    _ask(room, "s3", f"/{name}", "PUT", body.encode(), {"Content-Type": "application/xml"})


def stream(room: Room, name: str, *, shards: int) -> None:
    """Make a Kinesis stream."""
    kinesis(room, "CreateStream", {"StreamName": name, "ShardCount": shards})


def kinesis(room: Room, action: str, body: dict[str, Any]) -> dict[str, Any]:
    """Carry out one action of Kinesis and return its answer."""
    headers = {
        "X-Amz-Target": f"Kinesis_20131202.{action}",
        "Content-Type": "application/x-amz-json-1.1",
    }
    told = _ask(room, "kinesis", "/", "POST", json.dumps(body).encode(), headers)
    answer: dict[str, Any] = json.loads(told) if told else {}
    return answer


def _ask(
    room: Room, service: str, path: str, method: str, body: bytes, headers: dict[str, str]
) -> bytes:
    # Moto reads from the signature which service and region are meant, and does not check it.
    scope = f"Credential={KEY_ID}/20200101/{REGION}/{service}/aws4_request"
    signed = {**headers, "Authorization": f"AWS4-HMAC-SHA256 {scope}, Signature=0"}
    request = urllib.request.Request(
        f"http://{room.address}{path}", data=body, method=method, headers=signed
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as reply:
            content: bytes = reply.read()
    except urllib.error.HTTPError as error:
        with error:
            said = error.read().decode(errors="replace")
        raise ServiceError(f"moto answered {method} {path} with {error.code}: {said}") from error
    return content
