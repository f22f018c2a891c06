"""The tests: a package, so that they and worker processes import each other as tests.<name>."""
