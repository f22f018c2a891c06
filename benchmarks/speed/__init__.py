"""The speed of every hot path, measured against a naive implementation."""
