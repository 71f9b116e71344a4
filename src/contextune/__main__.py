"""`python -m contextune` is the command line."""

from .cli import main

main()
