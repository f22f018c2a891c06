"""Searches that live in a folder and resume."""
