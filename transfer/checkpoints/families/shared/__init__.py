"""Key mappings and configs that several families share."""
