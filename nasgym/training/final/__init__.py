"""The final phase: train the best architecture to convergence and test it."""
