"""Tuning through a hosted service: what it takes, a job that is submitted once, its model scored on the same tasks."""
