"""Pictures of runs: truth beside predictions, and curves. Arrays and annotations in, images out."""
