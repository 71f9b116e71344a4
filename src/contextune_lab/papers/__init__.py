"""Studies that set a paper's claims beside what is measured here, each one file, by name."""
