"""Studies built on Contextune's public API: mechanisms, the papers' claims, and benchmarks against other libraries."""
