"""What an empty project is given beside the shipped examples. Pure."""

from __future__ import annotations

from lichen.starters.words import scalar

_SETTINGS = """\
# This file makes the folder a project.
name: {name}
# Environments, each with a lake, a ledger and models of its own. Without this there is one, dev.
# targets:
#   dev: {{}}
#   prod: {{folder: /data/{name}}}
"""


def named(title: str) -> dict[str, str]:
    """Return the files that hold the project's name, and what git is to pass over."""
    return {"lichen.yml": _SETTINGS.format(name=scalar(title)), ".gitignore": ".lichen/\n"}
