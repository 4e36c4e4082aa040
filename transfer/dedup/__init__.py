"""Near-duplicates between a corpus and test images: hashes, search, evidence, overlap manifests."""
