"""Talking to models: the arms of a run answer side by side, with and without a context."""
