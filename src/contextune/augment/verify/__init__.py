"""Filters that judge what was made, one file each."""
