"""A bound on the memory of photos that are decoded at the same time, whatever the number of threads."""

import contextlib
import threading
from collections.abc import Iterator


class MemoryGate:
    """Lets holders in while their amounts add up to `limit` at most; one that is larger by itself enters alone.

    A thread that holds an amount must not ask for a second one.
    """

    def __init__(self, limit: int) -> None:
        self.limit, self._used, self._free = limit, 0, threading.Condition()

    @contextlib.contextmanager
    def holding(self, amount: int) -> Iterator[None]:
        """Wait for room for `amount`, hold it for the block, give it back."""
        with self._free:
            self._free.wait_for(lambda: self._used == 0 or self._used + amount <= self.limit)
            self._used += amount
        try:
            yield
        finally:
            with self._free:
                self._used -= amount
                self._free.notify_all()
