"""Start processes, say what they run on, and let the first do what only one may do."""
