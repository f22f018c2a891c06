"""How the driver of a search scales with the number of workers."""
