"""Read checkpoint files and folders without running anything that they bring."""
