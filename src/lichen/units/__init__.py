"""Unit tests of nodes: given rows in, expected rows out, on the same SQL as a run."""
