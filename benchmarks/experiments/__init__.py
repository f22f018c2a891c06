"""Experiments behind figures in the documentation."""
