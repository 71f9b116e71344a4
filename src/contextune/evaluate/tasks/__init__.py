"""Tasks: read from a name, a file, a mapping or a world; every item is checked before training."""
