"""python -m nasgym.benchmarks.speed."""

from nasgym.benchmarks.speed.speed import main

main()
