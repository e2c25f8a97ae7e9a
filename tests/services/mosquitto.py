"""Mosquitto from Debian's package: persistent sessions, a password, and TLS on a second port."""

import shutil
from collections.abc import Sequence

from tests.services import debian
from tests.services.frame import HOST, PASSWORD, USER, Launch, Room, give, run
from tests.services.tls import certificate

NAME = "mosquitto"
TITLE = "Mosquitto"
PORTS = {"main": 11883, "tls": 18884}
SECONDS = 20.0

ACCOUNT = "mosquitto"
PACKAGES = ("mosquitto", "mosquitto-clients", "openssl")
PROGRAMS = ("mosquitto", "mosquitto_passwd", "mosquitto_pub", "mosquitto_sub", "openssl")

# A session keeps what it has not acknowledged, without a bound: with the default of 1,000 queued
# messages a slow subscriber would lose some, and no test could tell who lost them.
SETTINGS = """\
persistence true
persistence_location {folder}/
autosave_interval 5
max_queued_messages 0
allow_anonymous false
password_file {folder}/passwords
log_dest stderr
log_type error
log_type warning
log_type notice
listener {port} {host}
listener {tls} {host}
certfile {certificate}
keyfile {key}
"""


def missing() -> str | None:
    """Why Mosquitto cannot start here; None when it can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"no {', '.join(absent)}: packages {' '.join(PACKAGES)}" if absent else None


def install() -> None:
    """Install the broker and its clients."""
    debian.install(*PACKAGES)


def launches(room: Room) -> list[Launch]:
    """Write the settings and the password file, and say how to run the broker."""
    made, key = certificate(room)
    (room.folder / "settings.conf").write_text(
        SETTINGS.format(
            folder=room.folder,
            host=HOST,
            port=room.port,
            tls=room.ports["tls"],
            certificate=made,
            key=key,
        )
    )
    run(["mosquitto_passwd", "-c", "-b", room.folder / "passwords", USER, PASSWORD])
    give(room.folder, ACCOUNT)
    return [Launch(["mosquitto", "-c", room.folder / "settings.conf"], account=ACCOUNT)]


def answer(room: Room) -> str:
    """Ask for the version, which the broker keeps as a retained message."""
    return client(room, "sub", ["-t", "$SYS/broker/version", "-C", "1"]).strip()


def client(room: Room, verb: str, words: Sequence[str], *, text: str = "") -> str:
    """Run mosquitto_pub or mosquitto_sub with the test user and return what it printed."""
    place = ["-h", HOST, "-p", str(room.port), "-u", USER, "-P", PASSWORD]
    bound = ["-W", "5"] if verb == "sub" else []  # seconds
    return run([f"mosquitto_{verb}", *place, *bound, *words], text=text, seconds=20)
