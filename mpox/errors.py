"""The one exception whose message is written for the person at the keyboard, and what it says of others."""


class UserError(ValueError):
    """A mistake in the input, the configuration or the machine that its owner can mend.

    The message is one line: what is wrong, where, and how to mend it. Entry points print it without a traceback.
    """


def reason_of(error: BaseException) -> str:
    """What first went wrong, for the middle of a message: one line of at most 160 characters, never empty."""
    while below := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        error = below
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 160 else f"{words[:159]}…"
