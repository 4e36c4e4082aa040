"""What the stages hand to each other: frozen dataclasses and their files. Standard library only."""
