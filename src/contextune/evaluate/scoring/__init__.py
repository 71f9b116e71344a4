"""Ask a model every item of some tasks, and keep one outcome an item."""
