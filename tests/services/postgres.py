"""PostgreSQL from Debian's package, ready for logical replication."""

import shutil
import signal
from pathlib import Path

from tests.services import debian
from tests.services.frame import DATABASE, HOST, PASSWORD, USER, Launch, Room, give, run
from tests.services.tls import certificate

NAME = "postgres"
TITLE = "PostgreSQL"
PORTS = {"main": 15432}
SECONDS = 40.0

QUICKLY = signal.SIGINT  # SIGTERM would wait until every client has gone
ACCOUNT = "postgres"  # the server refuses to be run by root
BASE = "postgres"  # the database from which others are made
PROGRAMS = ("initdb", "postgres", "psql", "openssl")
PACKAGES = ("postgresql", "postgresql-client", "openssl")

SETTINGS = {
    "listen_addresses": HOST,
    "wal_level": "logical",
    "max_wal_senders": "16",
    "max_replication_slots": "16",
    "max_slot_wal_keep_size": "256MB",  # a slot that a failed test left must not fill the disk
    "wal_sender_timeout": "10s",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "password_encryption": "scram-sha-256",
    "unix_socket_directories": "",
}


def program(name: str) -> Path | None:
    """Return where Debian keeps one of the server's programs: the newest version's, or PATH's."""
    found = sorted(
        Path("/usr/lib/postgresql").glob(f"*/bin/{name}"),
        key=lambda path: int(path.parts[-3]) if path.parts[-3].isdigit() else 0,
    )
    on_path = shutil.which(name)
    return found[-1] if found else Path(on_path) if on_path else None


def missing() -> str | None:
    """Why PostgreSQL cannot start here; None when it can."""
    absent = [name for name in PROGRAMS if program(name) is None]
    return f"no {', '.join(absent)}: packages {' '.join(PACKAGES)}" if absent else None


def install() -> None:
    """Install the server and its client."""
    debian.install(*PACKAGES)


def launches(room: Room) -> list[Launch]:
    """Make a cluster with one superuser that needs its password, and say how to run it."""
    data = room.folder / "data"
    made, key = certificate(room)
    give(room.folder, ACCOUNT)
    if not (data / "PG_VERSION").exists():
        secret = room.folder / "secret"
        secret.write_text(PASSWORD)
        give(room.folder, ACCOUNT)
        run(
            [
                *(str(program("initdb")), "--pgdata", data, "--username", USER),
                *("--pwfile", secret, "--auth", "scram-sha-256", "--encoding", "UTF8"),
                *("--locale", "C.UTF-8", "--no-sync"),
            ],
            account=ACCOUNT,
        )
    forget_another_boot(data / "postmaster.pid")
    tls = {"ssl": "on", "ssl_cert_file": made, "ssl_key_file": key}
    options = [f"--{name}={value}" for name, value in (SETTINGS | tls).items()]
    server = [str(program("postgres")), "-D", str(data), "-p", str(room.port), *options]
    return [Launch(server, account=ACCOUNT, ends_by=QUICKLY)]


def forget_another_boot(left: Path) -> None:
    """Remove the file that a killed server left if another program has its process id now."""
    # The server trusts its own file in every other case: it waits for what a dead one left running.
    if left.exists():
        program = Path(f"/proc/{left.read_text().split()[0]}/comm")
        if program.exists() and program.read_text().strip() != "postgres":
            left.unlink()


def answer(room: Room) -> str:
    """Ask for the version in the database that tests use, which is made at the first answer."""
    if not ask(room, f"select 1 from pg_database where datname = '{DATABASE}'", BASE):  # noqa: S608
        create(room, DATABASE)
    return ask(room, "show server_version")


def create(room: Room, database: str) -> None:
    """Make an empty database."""
    ask(room, f"create database {database} template template0", BASE)


def drop(room: Room, database: str) -> None:
    """Remove a database with its replication slots, whoever still uses them."""
    held = f"pg_replication_slots where database = '{database}'"
    ask(room, f"select pg_terminate_backend(active_pid) from {held} and active", BASE)  # noqa: S608
    # A walsender needs a moment to let go of its slot.
    ask(
        room,
        f"""do $$ begin
        for i in 1..100 loop
            exit when not exists (select from {held} and active);
            perform pg_sleep(0.05);
        end loop;
        perform pg_drop_replication_slot(slot_name) from {held};
        end $$""",  # noqa: S608
        BASE,
    )
    ask(room, f"drop database {database} with (force)", BASE)


def ask(room: Room, sql: str, database: str = DATABASE) -> str:
    """Run statements with the package's own client and return their cells, unaligned."""
    address = f"postgresql://{USER}@{room.address}/{database}"
    return run(
        [str(program("psql")), address, "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"],
        env={"PGPASSWORD": PASSWORD, "PGCONNECT_TIMEOUT": "3"},
        text=sql,
        seconds=60,
    ).strip()
