"""Progress of long stages: a bar on a terminal, a line every half minute in a log."""

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")
log = logging.getLogger("mpox")
# Seconds between two lines of the log.
INTERVAL = 30.0


def watched(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """Yield the items and show how many of `total` have come: drawn on a terminal, else logged now and then."""
    if sys.stderr.isatty():
        yield from track(items, what, total, console=Console(stderr=True), transient=True)
        return
    last = time.monotonic()
    for number, item in enumerate(items):
        if time.monotonic() - last >= INTERVAL:
            last = time.monotonic()
            log.info("%s: %d of %d", what, number, total)
        yield item
