"""PostgreSQL over a bad network: refused, stalled, half-open, cut, and by TLS."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from faults import Proxy
from pgbase import Base, followed, landed, rows_of, run

from lichen.core.steps import Failed
from lichen.testing.project import SmallProject

WAYS = ("", "incremental: id\n", "changes: true\n")
TIMEOUT = 2.0


def through(base: Base, root: Path, port: int, way: str) -> SmallProject:
    """Return a project that reads `d` through a proxy."""
    more = f"{way}timeout: {TIMEOUT:g} s\n"
    project = followed(base, root, more)
    path = root / "sources/d.yml"
    path.write_text(path.read_text().replace(f"port: {base.place.port}", f"port: {port}"))
    return project


def failed(project: SmallProject, now: str) -> str:
    """Run a project whose source cannot be read; returns why."""
    results = [e.result for e in project.run(now) if e.result is not None]
    assert isinstance(results[0], Failed), results
    return results[0].error


@pytest.mark.parametrize("way", WAYS)
def test_refused_stalled_and_cut_and_then_all_is_well(base: Base, tmp_path: Path, way: str) -> None:
    with Proxy(base.place.port) as proxy:
        project = through(base, tmp_path / "p", proxy.port, way)
        base.run("insert into d select i, repeat('n', 100) from generate_series(1, 20000) i")
        proxy.refuse()
        assert f"127.0.0.1:{proxy.port}" in failed(project, "2020-01-01")
        proxy.heal()
        proxy.stall()
        began = time.monotonic()
        assert "brought no word for 2 s" in failed(project, "2020-01-01")
        assert time.monotonic() - began < 3 * TIMEOUT
        proxy.heal()
        proxy.cut()
        proxy.cut_after(500_000)  # within the rows
        said = failed(project, "2020-01-01")
        assert "d.yml: PostgreSQL at 127.0.0.1:" in said
        assert "Traceback" not in said
        assert base.place.password not in said
        run(project, "2020-01-01")
        base.run("insert into d select i, repeat('m', 100) from generate_series(20001, 40000) i")
        proxy.cut_after(500_000)
        failed(project, "2020-01-02")
        run(project, "2020-01-02")
    assert landed(project, "2020-01-02") == rows_of(base)
    assert len(project.versions("sources.d")) == 40_000


@pytest.mark.parametrize("way", WAYS)
def test_half_open_in_the_middle_of_the_rows(base: Base, tmp_path: Path, way: str) -> None:
    with Proxy(base.place.port) as proxy:
        project = through(base, tmp_path / "p", proxy.port, way)
        base.run("insert into d select i, repeat('n', 100) from generate_series(1, 50000) i")
        proxy.slow(2_000_000)

        def stall() -> None:
            while proxy.to_client < 1_000_000:
                time.sleep(0.01)
            proxy.stall()

        thread = threading.Thread(target=stall, daemon=True)
        thread.start()
        began = time.monotonic()
        assert "brought no word for 2 s" in failed(project, "2020-01-01")
        assert time.monotonic() - began < 30
        thread.join()
        proxy.heal()
        proxy.cut()
        run(project, "2020-01-01")
    assert landed(project, "2020-01-01") == rows_of(base)
    assert len(project.versions("sources.d")) == 50_000


def test_retries_are_made_where_it_may_pass_and_only_there(base: Base, tmp_path: Path) -> None:
    with Proxy(base.place.port) as proxy:
        project = through(base, tmp_path / "p", proxy.port, "retries: 2\n")
        base.run("insert into d select i, repeat('n', 100) from generate_series(1, 20000) i")
        proxy.cut_after(500_000)
        run(project, "2020-01-01")
        assert landed(project, "2020-01-01") == rows_of(base)
        base.secret.write_text("wrong")
        accepted = proxy.accepted
        said = failed(project, "2020-01-02")
        assert "password authentication failed" in said
        assert "wrong" not in said
        assert proxy.accepted <= accepted + 6


def test_tls_is_checked_against_what_is_trusted(base: Base, tmp_path: Path) -> None:
    project = followed(base, tmp_path)
    base.run("insert into d values (1, 'a')")
    path = tmp_path / "sources/d.yml"
    text = path.read_text()
    path.write_text(text + f"tls: {{ca: {base.place.certificate}}}\n")
    run(project, "2020-01-01")
    path.write_text(text + "tls: {}\n")
    assert "certificate verify failed" in failed(project, "2020-01-02")
    path.write_text(text + "tls: {verify: false}\n")
    base.run("insert into d values (2, 'a')")
    run(project, "2020-01-03")
    assert landed(project, "2020-01-03") == rows_of(base)
