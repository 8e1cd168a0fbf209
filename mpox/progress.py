"""Progress bars that are drawn for a person and silent in a log."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track

Item = TypeVar("Item")


def watched(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """Yield the items, drawing on a terminal's stderr how many of `total` have come."""
    console = Console(stderr=True)
    yield from track(items, what, total, console=console, transient=True, disable=not sys.stderr.isatty())
