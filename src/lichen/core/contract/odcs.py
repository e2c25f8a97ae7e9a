"""Contracts: Open Data Contract Standard 3.1, decoded into columns and rules."""
