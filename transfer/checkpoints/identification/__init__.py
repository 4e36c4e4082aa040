"""Find the family of a file, also inside a holding module, and fill the canonical network."""
