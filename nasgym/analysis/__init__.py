"""Analysis of recorded trials."""
