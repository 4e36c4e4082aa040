"""Architectures from the shapes of their tensors, under canonical names."""
