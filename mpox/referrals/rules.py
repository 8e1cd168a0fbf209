"""What a bundle may hold before anything in it is used: known resources, and no reference out of it."""

import re
from collections.abc import Iterator
from typing import Any

from mpox.referrals.envelope import UUID
from mpox.referrals.refused import RefusedError

TYPES = frozenset(
    [
        "Patient",
        "Device",
        "DocumentReference",
        "QuestionnaireResponse",
        "Observation",
        "ServiceRequest",
        "Task",
        "Provenance",
    ]
)
MOST_ENTRIES = 40
DEEPEST = 20  # levels of a resource
URI, URN = "urn:ietf:rfc:3986", "urn:uuid:"
# A value that begins as an address does; in a text for people it is a text.
_ADDRESS = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:/|//|(?:data|javascript|file|mailto|blob):)", re.IGNORECASE)
_FOR_PEOPLE = frozenset({"text", "display", "valueString", "title", "name", "description", "div"})
# Names of code systems look like addresses and are never asked; base64 may begin with two slashes.
_PASSED = _FOR_PEOPLE | {"system", "data", "hash"}
_SERVED = re.compile(r"[A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64}")


def check_bundle(bundle: Any, *, served: bool = False) -> dict[str, dict[str, Any]]:
    """Return the resources of a transaction bundle by the URL that references name them by.

    `served`: they were fetched from a server, whose references are `Type/id`. Raises RefusedError for resources of
    other types, more than MOST_ENTRIES, references to anything outside, addresses, resources inside resources, requests
    other than to create, and what is not FHIR R4B.
    """
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle" or bundle.get("type") != "transaction":
        raise RefusedError("not a FHIR bundle of the type transaction")
    entries = bundle.get("entry")
    if not isinstance(entries, list) or not entries:
        raise RefusedError("a bundle without entries")
    if len(entries) > MOST_ENTRIES:
        raise RefusedError(f"{len(entries)} entries, more than {MOST_ENTRIES}")
    resources: dict[str, dict[str, Any]] = {}
    for entry in entries:
        url, resource = _entry(entry, served)
        if url in resources:
            raise RefusedError("two entries of one fullUrl")
        resources[url] = resource
    for resource in resources.values():
        for name, value in _values(resource, 0):
            _check_value(name, value, resources)
    _check_fhir(bundle)
    return resources


def uuid_of(resource: dict[str, Any]) -> str:
    """Return the uuid in a resource's identifier. Raises RefusedError where it has none, or several."""
    given = resource.get("identifier", ())
    values = [one.get("value", "") for one in (given if isinstance(given, list) else [given])
              if isinstance(one, dict) and one.get("system") == URI]  # fmt: skip
    found = [text.removeprefix(URN) for text in map(str, values) if text.startswith(URN)]
    if len(found) != 1 or not UUID.fullmatch(found[0]):
        raise RefusedError(f"its {resource['resourceType']} has no identifier {URN}<id>")
    return found[0]


def _entry(entry: Any, served: bool) -> tuple[str, dict[str, Any]]:
    resource = entry.get("resource") if isinstance(entry, dict) else None
    kind = resource.get("resourceType") if isinstance(resource, dict) else None
    if not isinstance(resource, dict) or not isinstance(kind, str) or kind not in TYPES:
        raise RefusedError(f"it holds a resource that no referral has ({str(kind)[:40]})")
    url = str(entry.get("fullUrl", ""))
    named = bool(_SERVED.fullmatch(url)) if served else url.startswith(URN) and UUID.fullmatch(url.removeprefix(URN))
    if not named:
        raise RefusedError(f"its {kind} has no fullUrl {URN}<uuid>")
    request = entry.get("request", {})
    if not served and (request.get("method"), request.get("url")) != ("POST", kind):
        raise RefusedError(f"its {kind} asks for more than to be created")
    return url, resource


def _values(value: Any, depth: int, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of a resource with the name it is under. Raises RefusedError where it is too deep."""
    if depth > DEEPEST:
        raise RefusedError("resources nested deeper than any of the format")
    if isinstance(value, dict):
        for key, below in value.items():
            yield key, below
            yield from _values(below, depth + 1, key)
    elif isinstance(value, list):
        for below in value:
            if not isinstance(below, dict | list):
                yield name, below
            yield from _values(below, depth + 1, name)


def _check_value(name: str, value: Any, resources: dict[str, dict[str, Any]]) -> None:
    if name == "contained":
        raise RefusedError("it holds resources inside resources")
    if name == "reference" and value not in resources:
        raise RefusedError(f"it refers to something outside of it ({str(value)[:60]})")
    if name not in _PASSED and isinstance(value, str) and _ADDRESS.match(value):
        raise RefusedError(f"it holds an address ({name}: {value[:60]})")


def _check_fhir(bundle: dict[str, Any]) -> None:
    from fhir.resources.R4B.bundle import Bundle
    from pydantic import ValidationError

    try:
        Bundle.model_validate(bundle)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])[:120]
        raise RefusedError(f"not FHIR R4B ({where or 'bundle'}: {first['msg'][:120]})") from error
    except (RecursionError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise RefusedError(f"not FHIR R4B ({type(error).__name__})") from error
