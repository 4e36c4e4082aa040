"""Say what a conversion did and what speaks against it: assumptions, health, probes, other weights."""
