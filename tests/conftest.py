"""Fixtures for every test: the real servers of tests/services, started or found on first use."""

import sys
from pathlib import Path

# `tests.services` is imported from the repository's root, as `python -m tests.services` does.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

pytest_plugins = ["servers", "pgbase"]
