"""What is raised for a referral that is not taken."""

from mpox.errors import UserError


class RefusedError(UserError):
    """A referral that is not taken: what is wrong with it, in one line."""
