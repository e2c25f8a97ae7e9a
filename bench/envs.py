"""An environment for each peer, built from a file of pinned requirements with hashes."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

from bench.cases import LICHEN


def programs(env: str, peers: Path, work: Path) -> Path:
    """Return an environment's folder of programs; builds it where it is missing or out of date."""
    if env == LICHEN:
        return Path(sys.executable).parent
    wanted, place = peers / f"{env}.txt", work / "envs" / env
    digest, mark = hashlib.sha256(wanted.read_bytes()).hexdigest(), place / "requirements.sha256"
    if not mark.is_file() or mark.read_text() != digest:
        _build(place, wanted)
        mark.write_text(digest)
    return place / "bin"


def _build(place: Path, wanted: Path) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    _uv("venv", "--clear", "--python", version, str(place))
    if wanted.read_text().strip():
        python = str(place / "bin" / "python")
        hashed = ("--require-hashes", "--compile-bytecode")
        _uv("pip", "sync", *hashed, "--python", python, str(wanted))


def _uv(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "uv", *words, "--quiet"], check=True)


def version(distribution: str, programs_: Path) -> str:
    """Return the version of a distribution in an environment, that of Python where it has none."""
    look = (
        "import json, platform, sys\nfrom importlib import metadata\n"
        "try: found = metadata.version(sys.argv[1])\n"
        "except metadata.PackageNotFoundError: found = 'Python ' + platform.python_version()\n"
        "print(json.dumps(found))"
    )
    command = [str(programs_ / "python"), "-c", look, distribution]
    return str(json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
