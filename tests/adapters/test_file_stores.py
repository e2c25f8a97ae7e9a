"""Files in S3 and HDFS: what is new or changed lands, what fails on the way is told in time."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import obstore
import pytest
from faults import Proxy
from servers import Place, hdfs, hdfs_folder, moto, s3_bucket
from tests.services import hdfs as hdfs_server

from lichen.core.errors import LichenError
from lichen.core.steps import Done, Failed, Land, Result
from lichen.testing.project import SmallProject

__all__ = ["hdfs", "hdfs_folder", "moto", "s3_bucket"]


@dataclass(frozen=True)
class Away:
    """A place that files can be put in, and how a source names it (at another port, if need be)."""

    put: Callable[[str, bytes], Any]
    settings: Callable[[str, int], str]
    port: int


@pytest.fixture
def s3(s3_bucket: Place, monkeypatch: pytest.MonkeyPatch) -> Away:
    monkeypatch.setenv("S3_KEY", s3_bucket.user)
    monkeypatch.setenv("S3_SECRET", s3_bucket.password)
    store = obstore.store.S3Store(
        s3_bucket.name,
        endpoint=f"http://127.0.0.1:{s3_bucket.port}",
        access_key_id=s3_bucket.user,
        secret_access_key=s3_bucket.password,
        region="eu-central-1",
        client_options={"allow_http": True},
    )

    def settings(glob: str, port: int) -> str:
        return (
            f"path: s3://{s3_bucket.name}/{glob}\nendpoint: http://127.0.0.1:{port}\n"
            "region: eu-central-1\naccess_key_id: env:S3_KEY\nsecret_access_key: env:S3_SECRET\n"
        )

    return Away(lambda path, data: obstore.put(store, path, data), settings, s3_bucket.port)


@pytest.fixture
def dfs(hdfs_folder: Place) -> Away:
    def put(path: str, data: bytes) -> None:
        hdfs_server.put(hdfs_folder.room, f"/{hdfs_folder.name}/{path}", data)

    def settings(glob: str, port: int) -> str:
        return f"path: hdfs://127.0.0.1:{port}/{hdfs_folder.name}/{glob}\nuser: lichen\n"

    return Away(put, settings, hdfs_folder.port)


@pytest.fixture(params=["s3", "dfs"])
def away(request: pytest.FixtureRequest) -> Away:
    place: Away = request.getfixturevalue(request.param)
    return place


def declared(root: Path, settings: str) -> SmallProject:
    project = SmallProject(root)
    project.write("sources/s.yml", "key: id\n" + settings)
    project.contract("sources/s", {"id": "bigint", "name": "varchar"})
    return project


def run(project: SmallProject, now: str) -> Result | None:
    results = [e.result for e in project.run(now) if isinstance(e.step, Land)]
    return results[0] if results else None


def ids(project: SmallProject, at: str) -> list[int]:
    return sorted(row["id"] for row in project.current("sources.s", at))


def csv(*numbers: int) -> bytes:
    return b"id,name\n" + b"".join(b"%d,n\n" % n for n in numbers)


def large(count: int) -> bytes:
    return b"id,name\n" + b"".join(b"%d,%s\n" % (n, b"n" * 110) for n in range(count))


def test_what_is_new_or_changed_lands_and_nothing_twice(away: Away, tmp_path: Path) -> None:
    project = declared(tmp_path, away.settings("in/**/*.csv", away.port))
    odd = "in/x/é + ü %41 ?.csv".replace("?", "q")
    away.put("in/a.csv", csv(1, 2))
    away.put(odd, csv(3))
    away.put("in/x/_part.csv", csv(99))
    away.put("in/x/b.txt", csv(99))
    away.put("other/c.csv", csv(99))
    assert isinstance(run(project, "2020-01-01"), Done)
    assert ids(project, "2020-01-02") == [1, 2, 3]
    files = {row["_file"].partition("/in/")[2] for row in project.versions("sources.s")}
    assert files == {"a.csv", odd.removeprefix("in/")}
    assert run(project, "2020-01-02") is None, "nothing is new"
    away.put("in/x/y/z.csv", csv(4))
    time.sleep(0.01)
    away.put("in/a.csv", csv(1, 5))
    assert isinstance(run(project, "2020-01-03"), Done)
    assert ids(project, "2020-01-04") == [1, 3, 4, 5]
    assert run(project, "2020-01-04") is None
    assert not list((tmp_path / ".lichen").rglob("fetched/*/*")), "nothing is left behind"


def test_one_file_by_its_name_and_a_large_one(away: Away, tmp_path: Path) -> None:
    big = large(30_000)
    assert len(big) > 3 << 20, "several blocks of HDFS"
    away.put("in/big.csv", big)
    project = declared(tmp_path, away.settings("in/big.csv", away.port))
    assert isinstance(run(project, "2020-01-01"), Done)
    assert ids(project, "2020-01-02") == list(range(30_000))


def test_a_connection_that_is_cut_within_a_file_costs_nothing(s3: Away, tmp_path: Path) -> None:
    away = s3
    away.put("in/a.csv", csv(-1))
    away.put("in/big.csv", large(30_000))
    with Proxy(away.port) as proxy:
        settings = away.settings("in/*.csv", proxy.port) + "timeout: 2 s\n"
        project = declared(tmp_path, settings)
        proxy.cut_after(1 << 20)
        run(project, "2020-01-01")  # it may come through: the client asks for what is missing
        assert proxy.to_client > 1 << 20
        proxy.heal()
        run(project, "2020-01-02")
    assert ids(project, "2020-01-03") == list(range(-1, 30_000))
    assert len(project.versions("sources.s")) == 30_001


def test_what_is_missing_is_told(away: Away, tmp_path: Path) -> None:
    project = declared(tmp_path, away.settings("in/none.csv", away.port))
    result = run(project, "2020-01-01")
    assert isinstance(result, Failed)
    assert "missing" in result.error
    assert "none.csv" in result.error


def test_a_server_that_refuses_or_stalls_is_given_up_in_time(away: Away, tmp_path: Path) -> None:
    away.put("in/a.csv", csv(1))
    with Proxy(away.port) as proxy:
        settings = away.settings("in/*.csv", proxy.port) + "timeout: 1 s\n"
        project = declared(tmp_path, settings)
        for day, fault in enumerate((proxy.refuse, proxy.stall), start=1):
            fault()
            began = time.monotonic()
            result = run(project, f"2020-01-0{day}")
            proxy.heal()
            assert time.monotonic() - began < 8
            assert isinstance(result, Failed)
            assert "127.0.0.1" in result.error
            assert "hunter2" not in result.error
        assert isinstance(run(project, "2020-01-03"), Done)
        assert ids(project, "2020-01-04") == [1]


MISTAKES = {
    "plain": ("path: s3://b/*.csv\nendpoint: http://example.com", "without TLS"),
    "no bucket": ("path: s3://b", "names no files"),
    "half": ("path: s3://b/x\naccess_key_id: env:A", "belong together"),
    "literal": ("path: s3://b/x\nsecret_access_key: hunter2", "secret_access_key is written out"),
    "in the address": ("path: s3://b/x\nendpoint: https://u:hunter2@h", "no password"),
    "no host": ("path: hdfs:///x/*.csv", "names no files"),
    "user in path": ("path: hdfs://u:hunter2@h/x", "no user and no password"),
    "store": ("path: ftp://h/x", "no store 'ftp'"),
    "format": ("path: x\nformat: parket", "did you mean 'parquet'"),
    "delimiter": ("path: x\ndelimiter: '||'", "one character"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_are_told_without_secrets(tmp_path: Path, case: str) -> None:
    settings, said = MISTAKES[case]
    project = declared(tmp_path, settings + "\n")
    try:
        result = run(project, "2020-01-01")
        assert isinstance(result, Failed)
        text = result.error
    except LichenError as error:
        text = str(error)
    assert said in text
    assert "hunter2" not in text


def test_a_node_that_is_not_listed_is_not_asked(dfs: Away, tmp_path: Path) -> None:
    from lichen.adapters.sources.files import Files, FilesSettings
    from lichen.adapters.sources.hdfs import Hdfs
    from lichen.core.errors import SourceError, Where
    from lichen.ports.source import Outside

    outside = Outside("sources.s", Where(tmp_path), tmp_path, tmp_path, "dev", 1.0, str)
    files = Files(FilesSettings(path="hdfs://namenode/x/*.csv", hosts=("dn1",)), outside)
    store = files._store
    assert isinstance(store, Hdfs)
    assert store._followed("http://dn1:9864/webhdfs/v1/x/é+%20a?op=OPEN").endswith(
        "/webhdfs/v1/x/%C3%A9%2B%20a?op=OPEN"
    )
    for place in ("http://169.254.169.254/x", "http://localhost:1/x", "file:///etc/passwd"):
        with pytest.raises(SourceError, match="not listed"):
            store._followed(place)


def test_content_is_not_fetched_to_be_compared(s3: Away, tmp_path: Path) -> None:
    away = s3
    away.put("in/a.csv", csv(1))
    project = declared(tmp_path, away.settings("in/*.csv", away.port))
    (step, *_) = project.plan("2020-01-01")
    assert isinstance(step, Land)
    (seen,) = step.new
    assert seen.sha256 == f"etag:{hashlib.md5(csv(1)).hexdigest()}"  # noqa: S324 - S3's own
