"""Where commands print their results."""

import sys

from rich.console import Console

# Columns of what is no terminal: enough for every table. Left to itself, rich assumes 80, and tables lose their words.
REDIRECTED = 200


def results_console(*, soft_wrap: bool = True) -> Console:
    """Return a console on standard output that highlights nothing; `soft_wrap` leaves long lines to the terminal."""
    return Console(highlight=False, soft_wrap=soft_wrap, width=None if sys.stdout.isatty() else REDIRECTED)
