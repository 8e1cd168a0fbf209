"""The exceptions whose messages are written for the user, and one-line forms of others."""

import shutil
import signal
from pathlib import Path

# A write that failed with less free space than this failed for lack of space, whatever its message.
FULL_DISK_BYTES = 1_000_000


class UserError(ValueError):
    """A mistake in the input, the configuration or the machine that its owner can fix.

    The message is one line: what is wrong, where, and how to fix it. Commands print it without a traceback.
    """


class NoWeightsError(UserError):
    """No source has the pretrained weights of a model."""


class UsageError(UserError):
    """A wrong command line: an unknown word or option, a value of the wrong kind."""


class Stopped(BaseException):
    """A signal asked the process to end. Not an Exception: code that goes on after a failure must not go on after this.

    Not a KeyboardInterrupt either, on which Lightning ends the process by itself.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.name, self.code = signal.Signals(number).name, 128 + number


def reason_of(error: BaseException) -> str:
    """What first went wrong, for the middle of a message: one line of at most 160 characters, never empty."""
    while below := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        error = below
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 160 else f"{words[:159]}…"


def one_line(error: BaseException, place: str) -> str:
    """Return an exception of a command that writes into `place` as one line; a full disk hides behind many names."""
    text = " ".join(str(error).split())
    if isinstance(error, UserError):
        return text
    if Path(place).exists() and shutil.disk_usage(place).free < FULL_DISK_BYTES:
        return f"the disk of {place} is full: free some space, or write to a folder elsewhere, and type it again"
    return f"{type(error).__name__}: {text[:300]}"
