"""Build leaderboards from records: standard library only, so that a machine without torch rebuilds them."""
