"""Java servers from Maven artefacts: fetched once by mvn, from then on run without a network.

A server's artefacts and their versions stand in `kits/NAME.xml`, a pom of its own; the jars lie
below `.services/kits/NAME/`, beside a copy of the pom that they were fetched for.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.services import debian
from tests.services.frame import ROOT, ServiceError, run

JAVA = "17"  # Kafka 4 needs it or newer, Cassandra 5 knows no newer one
PACKAGE = "openjdk-17-jre-headless"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
POMS = Path(__file__).parent / "kits"
KITS = ROOT / ".services" / "kits"

# Test servers answer a few small questions: a quick start counts for more than peak speed.
LEAN = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",  # nearly halves what a start takes
    "-XX:-UsePerfData",
    "-Djava.net.preferIPv4Stack=true",
    "-Dfile.encoding=UTF-8",  # not the language of whoever runs the tests
)


def missing(name: str) -> str | None:
    """Why the server's java program cannot run here; None when it can."""
    if java() is None:
        return f"no Java {JAVA}: package {PACKAGE}, or JAVA_HOME"
    if not fetched(name):
        return f"its jars are not fetched: python -m tests.services install {name}"
    return None


def install(name: str) -> None:
    """Bring Java, Maven and the jars of `kits/NAME.xml`."""
    if java() is None:
        debian.install(PACKAGE)
    if shutil.which("mvn") is None:
        debian.install("maven")
    if not fetched(name):
        _fetch(name)


def fetched(name: str) -> bool:
    """Tell whether the jars are there, and those that the pom names now."""
    mark = KITS / name / "pom.xml"
    return mark.exists() and mark.read_bytes() == _pom(name).read_bytes()


def command(name: str, main: str, *options: str, first: Sequence[Path] = ()) -> list[str]:
    """Return the command that runs a main class on the kit's jars, with folders before them."""
    program = java()
    if program is None:
        raise ServiceError(f"no Java {JAVA} here: install {PACKAGE}, or set JAVA_HOME")
    path = os.pathsep.join([*map(str, first), f"{KITS / name}/*"])
    return [str(program), *LEAN, *options, "-cp", path, main]


def java() -> Path | None:
    """Return the java program of the version that all servers can use."""
    on_path = shutil.which("java")
    homes = [
        *(Path(home) for home in [os.environ.get("JAVA_HOME")] if home),
        *(Path(each).resolve().parents[1] for each in [on_path] if each),
        *sorted(Path("/usr/lib/jvm").glob("*")),
    ]
    programs = [home / "bin" / "java" for home in homes if _release(home) == JAVA]
    return next((program for program in programs if program.exists()), None)


def _release(home: Path) -> str | None:
    """Return a Java home's major version, told by the file that each one has."""
    try:
        lines = (home / "release").read_text().splitlines()
    except OSError:
        return None
    found = next((line for line in lines if line.startswith("JAVA_VERSION=")), "")
    return found.partition('"')[2].strip('"').partition(".")[0]


def _fetch(name: str) -> None:
    """Let mvn copy the jars into a draft folder, which becomes the kit when it is whole."""
    draft, kit = KITS / f"{name}.draft", KITS / name
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    how = ["--batch-mode", "--quiet", "--strict-checksums", "--file", str(_pom(name))]
    what = [COPY, f"-DoutputDirectory={draft}", "-DincludeScope=runtime"]
    run(["mvn", *how, *what], seconds=1800)
    shutil.copyfile(_pom(name), draft / "pom.xml")
    shutil.rmtree(kit, ignore_errors=True)
    draft.rename(kit)


def _pom(name: str) -> Path:
    return POMS / f"{name}.xml"
