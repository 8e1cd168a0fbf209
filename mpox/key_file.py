"""The file of a clinic's key, of which the app is given the public half: its format, and how a key is named."""

import base64
import hashlib

FORMAT, VERSION = "mpox-clinic-key", 1
SUITE = "DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM"
LONGEST_NAME = 100


def key_id(public: bytes) -> str:
    """Return how a raw public key (65 bytes) is named in files: 16 hex digits."""
    return hashlib.sha256(public).hexdigest()[:16]


def to_base64url(content: bytes) -> str:
    """Return bytes as base64url without padding (RFC 4648)."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def from_base64url(text: str) -> bytes:
    """Return the bytes of base64url without padding. Raises ValueError for anything else, TypeError for no text."""
    content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if to_base64url(content) != text:
        raise ValueError("not base64url")
    return content
