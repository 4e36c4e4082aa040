"""Records on disk and the statistics over them."""
