"""`python -m mpox`: the list of commands."""

from mpox.cli import main

main()
