"""Ours against what a user would take instead: one run, the same threads and precision, round by round in turn."""
