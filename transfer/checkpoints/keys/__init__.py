"""Take state dicts apart by their keys: contents, rules, layouts, exact matching."""
