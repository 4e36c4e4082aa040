"""Canonical networks as plain torch modules that return a list of feature levels."""
