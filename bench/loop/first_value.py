"""From nothing to the first prediction over HTTP, by a tutorial: FOLDER lichen|peers.

Counts the commands that a person types and the lines that a person writes; times installing (into
a fresh environment, with downloads, from pinned requirements) and the work after it.
"""

# ruff: noqa: S310 - the commands of the tutorials, and a service on this machine

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ROW = {"km": 12.5, "shop": "shop3", "weight": 2.5, "express": "no", "hour": 17}

SEED = """MODEL (
  name shop.parcels,
  kind SEED (path '../seeds/parcels.csv'),
  columns (km DOUBLE, shop VARCHAR, weight DOUBLE, express VARCHAR, hour INT, late INT)
);
"""
TABLE = """MODEL (
  name shop.training, kind FULL,
  audits (not_null(columns := (km, shop, weight, express, hour, late)))
);
SELECT km, shop, weight, express, hour, late FROM shop.parcels
"""
TRAIN = """import duckdb
import mlflow
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

rows = duckdb.connect("db.db", read_only=True).sql("from shop.training").df()
train, test = train_test_split(rows, stratify=rows.late, random_state=0)
words = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
encode = make_column_transformer((words, ["shop", "express"]), remainder="passthrough")
model = make_pipeline(encode, HistGradientBoostingClassifier())
mlflow.set_tracking_uri("sqlite:///mlflow.db")
mlflow.sklearn.autolog(registered_model_name="late")
with mlflow.start_run():
    model.fit(train.drop(columns="late"), train.late)
    mlflow.log_metric("accuracy", model.score(test.drop(columns="late"), test.late))
"""


@dataclass
class Tutorial:
    """What was done so far: `commands` typed, `lines` written by hand."""

    folder: Path
    bin: Path
    commands: list[str] = field(default_factory=list)
    lines: int = 0

    def run(self, *words: str, folder: Path | None = None) -> None:
        """Type a command and wait for its end."""
        self.commands.append(" ".join(words))
        done = subprocess.run(
            [self.bin / words[0], *words[1:]], cwd=folder or self.folder, env=self.environment(),
            capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise SystemExit(f"{self.commands[-1]}: {(done.stdout + done.stderr)[-3000:]}")

    def write(self, path: Path, text: str) -> None:
        """Write a file by hand."""
        path.write_text(text, "utf-8")
        self.lines += len(text.splitlines())

    def environment(self) -> dict[str, str]:
        """Return the variables of a shell in which the environment is active, and nothing else."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL"))}
        return kept | {"PATH": f"{self.bin}:{os.environ['PATH']}", "DO_NOT_TRACK": "1"}

    def ask(self, words: list[str], folder: Path, url: str, body: object) -> object:
        """Start a service, and ask it until it answers; both are typed."""
        self.commands += [" ".join(words), f"curl {url}"]
        with (self.folder / "service.log").open("wb") as log:
            service = subprocess.Popen(
                [self.bin / words[0], *words[1:]], cwd=folder, env=self.environment(),
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
            try:
                return _answer(service, url, json.dumps(body).encode(), self.folder)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(service.pid, 15)
                service.wait(timeout=60)


def _answer(service: subprocess.Popen[bytes], url: str, body: bytes, folder: Path) -> object:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    until = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{url}: {error.read().decode()[-2000:]}") from error
        except OSError as error:
            if service.poll() is not None or time.monotonic() > until:
                log = (folder / "service.log").read_text()[-2000:]
                raise SystemExit(f"no service at {url}: {log}") from error
            time.sleep(0.05)


def parcels(path: Path) -> None:
    """Write a small CSV: 5,000 parcels, some of them late, for reasons that a model can find."""
    rows = ["km,shop,weight,express,hour,late"]
    for i in range(5000):
        a, b, c = (i * 7919) % 997, (i * 104729) % 991, (i * 1299709) % 983
        km, weight, hour, express = a / 25, b / 100, 8 + c % 12, ("yes", "no")[b % 3 > 0]
        late = km * (1 if express == "no" else 0.5) + 3 * (hour > 15) + c % 10 > 28
        rows.append(f"{km},shop{c % 7},{weight},{express},{hour},{int(late)}")
    path.write_text("\n".join(rows) + "\n")


def install(env: Path, requirements: Path, *more: str) -> None:
    """Make an environment and install into it, with nothing that was downloaded before."""
    uv = [sys.executable, "-m", "uv", "--quiet", "--no-cache"]
    python = ["--python", str(env / "bin" / "python")]
    subprocess.run([*uv, "venv", "--python", sys.executable, str(env)], check=True)
    hashed = ["--require-hashes", "--compile-bytecode", "-r", str(requirements)]
    subprocess.run([*uv, "pip", "install", *python, *hashed], check=True)
    if more:
        subprocess.run([*uv, "pip", "install", *python, *more], check=True)


def lichen(it: Tutorial, csv: Path, port: int) -> object:
    """Follow Lichen's own tutorial."""
    it.run("lichen", "init", "parcels", "--from", str(csv), "--predict", "late")
    project = it.folder / "parcels"
    it.run("lichen", "run", "-C", "parcels")
    (service,) = (path.stem for path in (project / "services").glob("*.yml"))
    url = f"http://127.0.0.1:{port}/v1/models/{service}/predict"
    serve = ["lichen", "serve", "-C", "parcels", "--port", str(port)]
    return it.ask(serve, it.folder, url, {"instances": [{"row": ROW}]})


def peers(it: Tutorial, csv: Path, port: int) -> object:
    """Follow the quickstarts of SQLMesh (a seed, a model, a plan) and MLflow (autolog, serve)."""
    project = it.folder / "parcels"
    project.mkdir()
    it.run("sqlmesh", "init", "duckdb", "-t", "empty", folder=project)
    it.commands.append("cp parcels.csv seeds/")
    shutil.copy(csv, project / "seeds" / "parcels.csv")
    it.write(project / "models" / "parcels.sql", SEED)
    it.write(project / "models" / "training.sql", TABLE)
    it.run("sqlmesh", "plan", "--auto-apply", "--no-prompts", folder=project)
    it.write(project / "train.py", TRAIN)
    it.run("python", "train.py", folder=project)
    it.commands.append("export MLFLOW_TRACKING_URI=sqlite:///mlflow.db")
    os.environ["MLFLOW_TRACKING_URI"] = "sqlite:///mlflow.db"
    url = f"http://127.0.0.1:{port}/invocations"
    model = ["mlflow", "models", "serve", "-m", "models:/late/1", "--env-manager", "local"]
    return it.ask([*model, "-p", str(port)], project, url, {"dataframe_records": [ROW]})


def main(folder: Path, who: str) -> dict[str, object]:
    place = folder / who
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    csv, env = folder / "parcels.csv", place / "env"
    parcels(csv)
    it = Tutorial(place, env / "bin")
    started = time.perf_counter()
    if who == "lichen":
        own = ("--no-deps", "--no-build-isolation", str(ROOT))
        install(env, ROOT / "requirements" / "demo.txt", *own)
    else:
        install(env, HERE.parent / "peers" / "sqlmesh-mlflow.txt")
    what = "lichen" if who == "lichen" else "sqlmesh mlflow"
    it.commands += ["python -m venv .venv", f"pip install {what}"]
    installed = time.perf_counter()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    answer = (lichen if who == "lichen" else peers)(it, csv, port)
    ended = time.perf_counter()
    size = sum(f.stat().st_size for f in env.rglob("*") if f.is_file() and not f.is_symlink())
    shutil.rmtree(env)
    return {
        "commands": len(it.commands), "lines": it.lines, "install": installed - started,
        "work": ended - installed, "total": ended - started, "mb": size / 1e6,
        "typed": it.commands, "answer": answer,
    }  # fmt: skip


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2])))
