"""What batch-norm statistics say about the images that a network was trained on."""
