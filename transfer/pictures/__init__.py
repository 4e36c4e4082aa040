"""Pictures of runs: truth next to predictions, and curves. Arrays and annotations in, images out."""
