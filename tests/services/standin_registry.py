"""A stand-in for a schema registry, for tests: the part of Confluent's REST interface they need.

It is no registry: it checks that an Avro schema is JSON and nothing more, knows no compatibility,
keeps references unseen, and asks for no password. Run as `standin_registry.py PORT FILE`; what is
registered is kept in FILE, so that ids survive a new start.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock
from urllib.parse import unquote, urlsplit

HOST = "127.0.0.1"
Reply = tuple[int, object]


class Refused(Exception):
    """A request that cannot be answered, with the code that the real interface gives it."""

    def __init__(self, code: int, message: str) -> None:
        """Keep the code; its first three digits are the HTTP status."""
        super().__init__(message)
        self.code = code


@dataclass
class Schemas:
    """What is registered: texts by id, and per subject the ids of its versions in order."""

    file: Path
    texts: dict[int, dict[str, str]] = field(default_factory=dict)
    subjects: dict[str, list[int]] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def load(self) -> None:
        """Take up what an earlier run wrote."""
        if self.file.exists():
            for line in self.file.read_text().splitlines():
                said = json.loads(line)
                self._add(said["subject"], said["schema"])

    def register(self, subject: str, schema: dict[str, str]) -> int:
        """Return the schema's id: the one that it has already, or the next."""
        _checked(schema)
        with self.lock:
            known = self._id(schema)
            if known is None or known not in self.subjects.get(subject, ()):
                with self.file.open("a") as end:
                    end.write(json.dumps({"subject": subject, "schema": schema}) + "\n")
            return self._add(subject, schema)

    def by_id(self, number: str) -> dict[str, str]:
        """Return the schema with this id."""
        found = self.texts.get(int(number)) if number.isdigit() else None
        if found is None:
            raise Refused(40403, f"Schema {number} not found")
        return found

    def versions(self, subject: str) -> list[int]:
        """Return the subject's version numbers."""
        if subject not in self.subjects:
            raise Refused(40401, f"Subject '{subject}' not found.")
        return list(range(1, len(self.subjects[subject]) + 1))

    def version(self, subject: str, number: str) -> dict[str, object]:
        """Return one version, or the `latest`, as it is shown."""
        numbers = [str(each) for each in self.versions(subject)]
        wanted = numbers[-1] if number == "latest" else number
        if wanted not in numbers:
            raise Refused(40402, f"Version {number} not found.")
        identity = self.subjects[subject][int(wanted) - 1]
        shown = {"subject": subject, "version": int(wanted), "id": identity}
        return {**shown, **self.texts[identity]}

    def lookup(self, subject: str, schema: dict[str, str]) -> dict[str, object]:
        """Return the version of the subject that has this schema."""
        self.versions(subject)
        known = self._id(schema)
        if known is None or known not in self.subjects[subject]:
            raise Refused(40403, "Schema not found")
        return self.version(subject, str(self.subjects[subject].index(known) + 1))

    def _add(self, subject: str, schema: dict[str, str]) -> int:
        known = self._id(schema)
        number = known if known is not None else len(self.texts) + 1
        self.texts.setdefault(number, schema)
        versions = self.subjects.setdefault(subject, [])
        if number not in versions:
            versions.append(number)
        return number

    def _id(self, schema: dict[str, str]) -> int | None:
        mark = _mark(schema)
        return next((number for number, each in self.texts.items() if _mark(each) == mark), None)


def _mark(schema: dict[str, str]) -> tuple[str, str]:
    """Return what makes two schemas the same: their kind, and their text whatever its spaces."""
    kind, text = schema.get("schemaType", "AVRO"), schema["schema"]
    return kind, text if kind == "PROTOBUF" else json.dumps(json.loads(text))


def _checked(schema: dict[str, str]) -> None:
    try:
        _mark(schema)
    except (KeyError, TypeError, ValueError) as error:
        raise Refused(42201, f"Invalid schema: {error}") from error


def answer(schemas: Schemas, method: str, path: list[str], body: dict[str, str]) -> object:
    """Return what the interface says to one request; raises Refused with its error code."""
    match (method, path):
        case ("GET", ["subjects"]):
            return list(schemas.subjects)
        case ("GET", ["schemas", "types"]):
            return ["AVRO", "JSON", "PROTOBUF"]
        case ("GET", ["schemas", "ids", number]):
            return schemas.by_id(number)
        case ("GET", ["subjects", subject, "versions"]):
            return schemas.versions(subject)
        case ("GET", ["subjects", subject, "versions", number]):
            return schemas.version(subject, number)
        case ("POST", ["subjects", subject, "versions"]):
            return {"id": schemas.register(subject, _kept(body))}
        case ("POST", ["subjects", subject]):
            return schemas.lookup(subject, _kept(body))
        case _:
            raise Refused(404, "HTTP 404 Not Found: the stand-in does not know this request")


def _kept(body: dict[str, str]) -> dict[str, str]:
    """Return the part of a registration that is told again; AVRO is not said, as it is usual."""
    usual = body.get("schemaType", "AVRO") == "AVRO"
    named = ("schema", "references") if usual else ("schema", "schemaType", "references")
    return {key: body[key] for key in named if key in body}


def handler(schemas: Schemas) -> type[BaseHTTPRequestHandler]:
    """Return the class that answers HTTP requests from these schemas."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            said = self.rfile.read(length)
            path = [unquote(part) for part in urlsplit(self.path).path.split("/") if part]
            self._say(
                *_reply(lambda: answer(schemas, self.command, path, json.loads(said or "{}")))
            )

        do_GET = do_POST = _do

        def _say(self, status: int, what: object) -> None:
            text = json.dumps(what).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    return Handler


def _reply(ask: Callable[[], object]) -> Reply:
    try:
        return 200, ask()
    except Refused as refused:
        return int(str(refused.code)[:3]), {"error_code": refused.code, "message": str(refused)}
    except json.JSONDecodeError as error:
        return 422, {"error_code": 42201, "message": f"Invalid request: {error}"}


def main(port: int, file: Path) -> None:
    """Answer until the process is ended."""
    schemas = Schemas(file)
    schemas.load()
    ThreadingHTTPServer((HOST, port), handler(schemas)).serve_forever()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
