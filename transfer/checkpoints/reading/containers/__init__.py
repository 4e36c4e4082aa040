"""The containers that checkpoints come in. Every reader returns what was saved; none runs the file's code."""
