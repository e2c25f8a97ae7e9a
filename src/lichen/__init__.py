"""Lichen: data engineering and machine learning as one system."""

from __future__ import annotations

__version__ = "0.1.0"
