"""Pickles without execution: nothing that a pickle names is imported or called."""
