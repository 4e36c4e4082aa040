"""Find the family of a file, also nested in another module, and fill the canonical network."""
