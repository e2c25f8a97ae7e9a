"""The docs are followed once, and all tests look at what came of it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from walks import Guide


@pytest.fixture(scope="session")
def guide(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guide]:
    """Return the folder after a walk and what was printed, by the name of the walk."""
    one = Guide(tmp_path_factory.mktemp("walks"))
    try:
        yield one
    finally:
        one.leave()
