"""Experiments behind results in the documentation."""
