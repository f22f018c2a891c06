"""nasgym: neural architecture search as a reinforcement-learning environment."""
