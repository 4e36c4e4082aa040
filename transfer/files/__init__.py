"""Write files atomically, lock, fingerprint and find them."""
