"""A contract from the part of its text that a test is about, and a real DuckDB."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import duckdb
import pytest

from lichen.core.contract.odcs import read_contract
from lichen.core.contract.spec import Contract

HEAD = """\
apiVersion: v3.1.0
kind: DataContract
id: some-contract
version: 1.0.0
status: active
"""

Read = Callable[..., Contract]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Read a contract about `planes`; the first line of `body` is line 6 of the file."""

    def read_text(body: str) -> Contract:
        path = tmp_path / "planes.odcs.yaml"
        path.write_text(HEAD + dedent(body), encoding="utf-8")
        return read_contract(path)

    return read_text


@pytest.fixture
def of_column(read: Read) -> Read:
    """Read a contract of one column `c`, whose keys stand in braces on line 9 of the file."""

    def read_column(keys: str, *, after: str = "") -> Contract:
        column = f"schema:\n- name: planes\n  properties:\n  - {{name: c, {keys}}}\n"
        return read(column + dedent(after))

    return read_column


@pytest.fixture
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("set TimeZone='UTC'")
        yield connection
