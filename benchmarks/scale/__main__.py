"""python -m nasgym.benchmarks.scale."""

from nasgym.benchmarks.scale.scale import main

main()
