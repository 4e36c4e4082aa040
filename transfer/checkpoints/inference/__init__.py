"""Infer architectures from the shapes of their tensors, under canonical names."""
