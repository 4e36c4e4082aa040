"""Converted backbones for other libraries: one module for each."""
