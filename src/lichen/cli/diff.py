"""`lichen diff`: two versions of a node compared."""

from __future__ import annotations

from lichen.cli.options import USUAL, Options


def diff(left: str, right: str, *, options: Options = USUAL) -> int:
    """Compare two versions of a node: definition, columns, rows by key, how values lie.

    --json: {"node", "left", "right", "now", "definition", "columns", "rows": {"left", "right",
    "added", "removed", "changed", "same"}, "changed", "examples": [{"key", "changes"}], "values":
    [{"column", "kind", "distance", "left", "right"}], "metrics", "settings"}

    Parameters
    ----------
    left
        NODE@VERSION, or NODE for the one that is published.
    right
        The other one.
    """
    from lichen.cli.diff_versions_page import page
    from lichen.readers.diff_versions import diff_versions

    page(diff_versions(options.open(), left, right), json=options.json)
    return 0
