"""JSON of others, read without trust in its shape: what is not there, or something else, is empty."""

from collections.abc import Callable
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


def with_references(value: Any, change: Callable[[str], str]) -> Any:
    """Return a copy of a FHIR resource, or of a part of one, with every reference in it changed."""
    if isinstance(value, list):
        return [with_references(one, change) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        name: change(one) if name == "reference" and isinstance(one, str) else with_references(one, change)
        for name, one in value.items()
    }
