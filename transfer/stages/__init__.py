"""convert, fit, predict, score, publish: every stage reads files and writes files."""
