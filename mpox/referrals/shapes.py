"""JSON of others, read without trust in its shape: what is not there, or something else, is empty."""

from typing import Any


def plain(value: Any) -> dict[str, Any]:
    """Return a JSON object; an empty one for anything else."""
    return value if isinstance(value, dict) else {}


def listed(value: Any) -> list[dict[str, Any]]:
    """Return the objects of a JSON list; none for anything else."""
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def words(value: Any) -> str:
    """Return a JSON text; an empty one for anything else."""
    return value if isinstance(value, str) else ""
