"""A FHIR server as an inbox: referrals are its requested Tasks, answers go back as transactions."""

import re
import urllib.parse
from collections.abc import Iterator
from typing import Any

from mpox.addresses import is_safe
from mpox.console import visible
from mpox.errors import UserError
from mpox.referrals.asking import Asking, ConflictError, ServerError, why
from mpox.referrals.refused import RefusedError
from mpox.referrals.rules import MOST_ENTRIES, TYPES, URI, URN
from mpox.referrals.shapes import listed, plain, with_references, words

MOST_PAGES = 100
# A resource by its place, perhaps at one version.
_PLACE = re.compile(r"([A-Z][A-Za-z]+/[A-Za-z0-9.-]{1,64})(?:/_history/[A-Za-z0-9.-]{1,64})?")


class FhirServer:
    """A server by its base address (https, or http on this machine); `token` is sent as a bearer token."""

    def __init__(self, base: str, token: str | None = None) -> None:
        try:
            parts = urllib.parse.urlsplit(base)
            safe = is_safe(parts) and bool(parts.hostname) and parts.port != 0
        except ValueError:  # a port that is no number
            safe = False
        if not safe:
            raise UserError(f"inbox={base} is not safe to ask: give the server's https:// address")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise UserError("inbox= takes the server's base address alone: give a token by MPOX_FHIR_TOKEN")
        self.base = base.rstrip("/") + "/"
        self._asking = Asking(self.base, token)

    def requested(self) -> Iterator[dict[str, Any]]:
        """Yield the Tasks that are requested, all pages; those of other programs too. Raises ServerError.

        A server that does not know a word of the search leaves it out: what is no requested Task is left out here.
        """
        url: str | None = f"{self.base}Task?status=requested&_count=100"
        seen: set[str] = set()
        while url is not None:
            if url in seen or len(seen) == MOST_PAGES:
                raise ServerError(
                    f"{self.base} gives its Tasks on more than {MOST_PAGES} pages, or in a circle: those after are "
                    "not seen; close Tasks that wait for nobody"
                )
            seen.add(url)
            page, _ = self._asking.ask("GET", url)
            if page.get("resourceType") != "Bundle":
                raise ServerError(f"{self.base} answers a search with no Bundle ({_kind(page)}: {why(page)})")
            for task in (plain(one.get("resource")) for one in listed(page.get("entry"))):
                if task.get("resourceType") == "Task" and task.get("status") == "requested":
                    yield task
            url = next((self._asking.own(words(one.get("url"))) for one in listed(page.get("link"))
                        if one.get("relation") == "next"), None)  # fmt: skip

    def read(self, place: str) -> dict[str, Any]:
        """Return a resource by `Type/id`, with its version where the server tells it. Raises ServerError."""
        found, version = self._asking.ask("GET", f"{self.base}{place}")
        if f"{found.get('resourceType')}/{found.get('id')}" != place:
            raise ServerError(f"{self.base} gives something else for {place} ({_kind(found)}: {why(found)})")
        meta = plain(found.get("meta"))
        return found | {"meta": meta | {"versionId": meta.get("versionId") or version}}

    def referral(self, task: dict[str, Any]) -> dict[str, Any]:
        """Return the bundle of all that a Task refers to, as a referral holds it. Raises ServerError, RefusedError."""
        found: dict[str, dict[str, Any]] = {}
        waiting, first = [f"Task/{task.get('id')}"], task
        while waiting:
            place = waiting.pop(0)
            if place in found:
                continue
            if place.partition("/")[0] not in TYPES or not _PLACE.fullmatch(place) or len(found) == MOST_ENTRIES:
                raise RefusedError(f"it refers to something outside of it ({place[:60]})")
            found[place] = with_references(first if len(found) == 0 else self.read(place), self.place)
            waiting += _references(found[place])
        # What a server adds to a resource (profiles, its own source and authors) is no part of the referral.
        bare = {place: {name: value for name, value in one.items() if name != "meta"} for place, one in found.items()}
        entries = [{"fullUrl": place, "resource": one} for place, one in bare.items()]
        return {"resourceType": "Bundle", "type": "transaction", "entry": entries}

    def place(self, reference: str) -> str:
        """Return `Type/id` of a reference into this server: a complete address, or one of a version, is the same."""
        own, host = reference.partition("://")[2], self.base.partition("://")[2]
        found = _PLACE.fullmatch(own.removeprefix(host) if own.startswith(host) else reference)
        return found[1] if found else reference

    def transact(self, bundle: dict[str, Any]) -> None:
        """Do a transaction. Raises ConflictError where a version is not the expected one, ServerError otherwise.

        It is done only where the server says so of every entry: some do transactions entry by entry, and what stands
        between (a proxy, a page to log in) may answer in its place.
        """
        answer, _ = self._asking.ask("POST", self.base, bundle)
        responses = [plain(one.get("response")) for one in listed(answer.get("entry"))]
        for response in responses:
            status = str(response.get("status", ""))[:3]
            if status in ("409", "412"):
                raise ConflictError(f"{self.base} answers {status} ({why(response.get('outcome'))})")
            if not status.startswith("2"):
                raise ServerError(f"{self.base} did not take the answer ({why(response.get('outcome'))})")
        if answer.get("type") != "transaction-response" or len(responses) != len(bundle["entry"]):
            raise ServerError(f"{self.base} does not say that it has the answer ({_kind(answer)}: {why(answer)})")


def is_referral(task: dict[str, Any]) -> bool:
    """Return whether a Task is one of the app's: others' are left alone."""
    named = any(
        one.get("system") == URI and words(one.get("value")).startswith(URN) for one in listed(task.get("identifier"))
    )
    return named and any(plain(one.get("type")).get("text") == "consent" for one in listed(task.get("input")))


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["reference"]] if isinstance(value.get("reference"), str) else []
        return own + [place for one in value.values() for place in _references(one)]
    if isinstance(value, list):
        return [place for one in value for place in _references(one)]
    return []


def _kind(answer: dict[str, Any]) -> str:
    return visible(words(answer.get("resourceType")) or "no resource")[:40]
