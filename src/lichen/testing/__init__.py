"""Conformance kits: what every adapter must do, for its authors to run."""
