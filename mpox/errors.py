"""The one exception whose message is written for the person at the keyboard."""


class UserError(ValueError):
    """A mistake in the input, the configuration or the machine that its owner can mend.

    The message is one line: what is wrong, where, and how to mend it. Entry points print it without a traceback.
    """
