"""Heads that OpenMMLab lacks."""
