"""Benchmarks: what is measured about this project, each file a command."""

if __name__ == "benchmarks":
    raise ImportError(
        "import this folder as nasgym.benchmarks; `benchmarks` is another package's name"
    )
