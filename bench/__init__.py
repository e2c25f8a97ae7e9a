"""Figures: Lichen beside its peers, each in an environment of its own, run in turn."""
