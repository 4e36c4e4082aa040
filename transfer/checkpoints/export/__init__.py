"""Converted trunks for other libraries: one module for each."""
