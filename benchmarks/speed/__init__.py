"""Speed of every hot path against the naive way."""
