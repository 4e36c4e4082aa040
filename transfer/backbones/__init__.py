"""Canonical networks as torch modules that return a list of feature levels."""
