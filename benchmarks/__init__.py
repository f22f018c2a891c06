"""Benchmarks of speed, scale and search quality, and the experiments behind the documentation."""

if __name__ == "benchmarks":
    raise ImportError(
        "import this folder as nasgym.benchmarks; `benchmarks` is another package's name"
    )
