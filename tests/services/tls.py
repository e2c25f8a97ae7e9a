"""A self-made certificate for a server's TLS, which clients trust as their root."""

import ipaddress
from pathlib import Path

from tests.services.frame import HOST, Room, run

NAMES = f"subjectAltName=DNS:localhost,IP:{ipaddress.ip_address(HOST)}"


def certificate(room: Room) -> tuple[Path, Path]:
    """Return the server's certificate and its key, made when the room has none."""
    made, key = room.folder / "tls.crt", room.folder / "tls.key"
    if not made.exists():
        run(
            [
                *("openssl", "req", "-x509", "-nodes", "-days", "3650", "-subj", "/CN=localhost"),
                *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
                *("-addext", NAMES, "-addext", "keyUsage=critical,digitalSignature,keyCertSign"),
                *("-keyout", str(key), "-out", str(made)),
            ]
        )
        key.chmod(0o600)
    return made, key
