"""Reference pre-training that needs no download: images from formulas."""
