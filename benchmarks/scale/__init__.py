"""How a search's driver process scales with the number of workers."""
