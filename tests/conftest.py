"""Set what must be set before numpy or torch is imported."""

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MPLBACKEND"] = "Agg"

pytest_plugins = ["tests.faults.tiers", "tests.faults.table", "tests.pools"]
