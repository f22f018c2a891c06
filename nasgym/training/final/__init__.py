"""The final training: train the best architecture to convergence and test it once."""
