"""Tasks, scoring, per-item outcomes, and the statistics that reach a verdict."""
