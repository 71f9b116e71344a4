"""`python -m contextune` is the command line."""

from contextune.cli import main

main()
