"""From a checkpoint file to canonical weights: safe reading, identification, renaming, exact matching."""
