"""Similarity of inputs in [0, 1], and who is nearest."""
