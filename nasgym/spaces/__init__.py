"""Search spaces: one file a grammar, with the architecture its strings mean."""
