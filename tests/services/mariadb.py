"""MariaDB from Debian's package, with a binlog in row format for change data capture."""

import shutil

from tests.services import debian
from tests.services.frame import DATABASE, HOST, PASSWORD, USER, Launch, Room, give, run
from tests.services.tls import certificate

NAME = "mariadb"
TITLE = "MariaDB"
PORTS = {"main": 13306}
SECONDS = 40.0

ACCOUNT = "mysql"
PACKAGES = ("mariadb-server", "mariadb-client", "openssl")
PROGRAMS = ("mariadbd", "mariadb-install-db", "mariadb", "openssl")

SETTINGS = {
    "bind-address": HOST,
    "server-id": "1",
    "log-bin": "binlog",
    "binlog-format": "ROW",
    "binlog-row-image": "FULL",
    "binlog-row-metadata": "FULL",  # column names travel in the log
    "gtid-strict-mode": "ON",
    "binlog-expire-logs-seconds": "86400",
    "max-binlog-size": "64M",
    "character-set-server": "utf8mb4",
    "default-time-zone": "+00:00",
    "skip-name-resolve": "ON",
    "performance-schema": "OFF",
    "innodb-buffer-pool-size": "32M",
    "innodb-log-file-size": "16M",
    "aria-pagecache-buffer-size": "8M",
    "key-buffer-size": "8M",
    "max-connections": "60",
    "socket": "socket",  # relative to the data folder: a full path may be longer than sockets allow
    "pid-file": "pid",
}

GRANTS = f"""
create user if not exists '{USER}'@'%' identified by '{PASSWORD}';
grant all privileges on *.* to '{USER}'@'%' with grant option;
create database if not exists {DATABASE};
"""


def missing() -> str | None:
    """Why MariaDB cannot start here; None when it can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    return f"no {', '.join(absent)}: packages {' '.join(PACKAGES)}" if absent else None


def install() -> None:
    """Install the server and its client."""
    debian.install(*PACKAGES)


def launches(room: Room) -> list[Launch]:
    """Make the system tables and say how to run the server."""
    data, grants = room.folder / "data", room.folder / "grants.sql"
    made, key = certificate(room)
    grants.write_text(GRANTS)
    give(room.folder, ACCOUNT)
    if not (data / "mysql").exists():
        run(
            [
                *("mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db"),
                *("--auth-root-authentication-method=normal", "--skip-name-resolve"),
                *("--innodb-log-file-size=16M", "--innodb-flush-log-at-trx-commit=0"),
            ],
            account=ACCOUNT,
        )
    options = [f"--{name}={value}" for name, value in SETTINGS.items()]
    place = [f"--datadir={data}", f"--port={room.port}", f"--init-file={grants}"]
    tls = [f"--ssl-cert={made}", f"--ssl-key={key}"]
    return [Launch(["mariadbd", "--no-defaults", *place, *tls, *options], account=ACCOUNT)]


def answer(room: Room) -> str:
    """Ask for the version in the database that tests use."""
    return ask(room, "select version()")


def ask(room: Room, sql: str, database: str = DATABASE) -> str:
    """Run statements with the package's own client and return their rows, tabs between cells."""
    return run(
        [
            *("mariadb", "--no-defaults", f"--host={HOST}", f"--port={room.port}"),
            *(f"--user={USER}", "--connect-timeout=3", "--batch", "--skip-column-names", database),
        ],
        env={"MYSQL_PWD": PASSWORD},
        text=sql,
        seconds=60,
    ).strip()
