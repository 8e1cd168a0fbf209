"""Addresses of servers that people's photos are sent to, or fetched from."""

from urllib.parse import SplitResult

# Browsers, too, let a page ask these without HTTPS.
THIS_MACHINE = ("localhost", "127.0.0.1", "::1")


def is_safe(address: SplitResult) -> bool:
    """Whether nobody can read on the way what goes to an address: HTTPS, or HTTP on this machine."""
    return address.scheme == "https" or (address.scheme == "http" and address.hostname in THIS_MACHINE)
