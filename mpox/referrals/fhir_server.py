"""A FHIR server as an inbox: referrals are its requested Tasks, answers go back as transactions."""

import json
import urllib.parse
from collections.abc import Iterator
from typing import Any

import requests

from mpox.addresses import is_safe
from mpox.errors import UserError, reason_of
from mpox.referrals.envelope import LARGEST, strict_json
from mpox.referrals.refused import RefusedError
from mpox.referrals.rules import MOST_ENTRIES, TYPES, URI, URN

SECONDS = 30  # a request may take
MOST_PAGES = 100
JSON = "application/fhir+json"


class ServerError(UserError):
    """The server cannot be asked, or does not do what is asked: it is tried again."""


class ConflictError(ServerError):
    """The Task is another version than the one that was to be changed."""


class FhirServer:
    """A server by its base address (https, or http on this machine); `token` is sent as a bearer token."""

    def __init__(self, base: str, token: str | None = None) -> None:
        parts = urllib.parse.urlsplit(base)
        if not is_safe(parts):
            raise UserError(f"inbox={base} is not safe to ask: give the server's https:// address")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise UserError("inbox= takes the server's base address alone: give a token by MPOX_FHIR_TOKEN")
        self.base = base.rstrip("/") + "/"
        self._session = requests.Session()
        self._session.headers.update({"Accept": JSON, "Cache-Control": "no-cache"})
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def requested(self) -> Iterator[dict[str, Any]]:
        """Yield the Tasks that are requested, all pages; those of other programs too. Raises ServerError."""
        url: str | None = f"{self.base}Task?status=requested&_count=100"
        for _ in range(MOST_PAGES):
            if url is None:
                return
            page = self._ask("GET", url)
            yield from (one["resource"] for one in page.get("entry", ()) if "resource" in one)
            url = next((one["url"] for one in page.get("link", ()) if one.get("relation") == "next"), None)
            if url is not None and not urllib.parse.urljoin(self.base, url).startswith(self.base):
                raise ServerError(f"{self.base} sends on to another server, which is not asked")
            url = url and urllib.parse.urljoin(self.base, url)

    def read(self, place: str) -> dict[str, Any]:
        """Return a resource by `Type/id`. Raises ServerError."""
        return self._ask("GET", f"{self.base}{place}")

    def referral(self, task: dict[str, Any]) -> dict[str, Any]:
        """Return the bundle of all that a Task refers to, as a referral holds it. Raises ServerError, RefusedError."""
        found: dict[str, dict[str, Any]] = {}
        waiting, first = [f"Task/{task.get('id')}"], task
        while waiting:
            place = waiting.pop(0)
            if place in found:
                continue
            if place.partition("/")[0] not in TYPES or len(found) == MOST_ENTRIES:
                raise RefusedError(f"it refers to something outside of it ({place[:60]})")
            found[place] = first if len(found) == 0 else self.read(place)
            waiting += _references(found[place])
        # What a server adds to a resource (profiles, its own source and authors) is no part of the referral.
        bare = {place: {name: value for name, value in one.items() if name != "meta"} for place, one in found.items()}
        entries = [{"fullUrl": place, "resource": one} for place, one in bare.items()]
        return {"resourceType": "Bundle", "type": "transaction", "entry": entries}

    def transact(self, bundle: dict[str, Any]) -> None:
        """Do a transaction. Raises ConflictError where a version is not the expected one, ServerError otherwise.

        A server that does transactions entry by entry says so in its answer, whose entries are looked at.
        """
        answer = self._ask("POST", self.base, bundle)
        for entry in answer.get("entry", ()):
            status = str(entry.get("response", {}).get("status", ""))[:3]
            if status in ("409", "412"):
                raise ConflictError(f"{self.base}: the Task has changed meanwhile")
            if not status.startswith("2"):
                raise ServerError(
                    f"{self.base} did not take the answer ({_why(entry.get('response', {}).get('outcome'))})"
                )

    def _ask(self, method: str, url: str, body: Any = None) -> dict[str, Any]:
        try:
            with self._session.request(
                method,
                url,
                data=None if body is None else json.dumps(body),
                headers={"Content-Type": JSON} if body is not None else {},
                timeout=SECONDS,
                allow_redirects=False,
                stream=True,
            ) as response:
                content = b""
                for part in response.iter_content(1 << 16):
                    content += part
                    if len(content) > LARGEST:
                        raise ServerError(f"{self.base} answers with more than {LARGEST // 1_000_000} MB")
                status = response.status_code
        except requests.RequestException as error:
            raise ServerError(f"{self.base} cannot be reached ({reason_of(error)})") from error
        try:
            answer = strict_json(content)
        except RefusedError:
            answer = None
        if status in (409, 412):
            raise ConflictError(f"{self.base}: the Task has changed meanwhile")
        if not 200 <= status < 300 or not isinstance(answer, dict):
            raise ServerError(f"{self.base} answers {status} ({_why(answer)})")
        return answer


def is_referral(task: dict[str, Any]) -> bool:
    """Return whether a Task is one of the app's: others' are left alone."""
    identifiers = task.get("identifier") or []
    inputs = task.get("input") or []
    return any(one.get("system") == URI and str(one.get("value")).startswith(URN) for one in identifiers) and any(
        one.get("type", {}).get("text") == "consent" for one in inputs
    )


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [str(value["reference"])] if isinstance(value.get("reference"), str) else []
        return own + [place for one in value.values() for place in _references(one)]
    if isinstance(value, list):
        return [place for one in value for place in _references(one)]
    return []


def _why(outcome: Any) -> str:
    """The first words of an OperationOutcome."""
    issue = (outcome.get("issue") or [{}])[0] if isinstance(outcome, dict) else {}
    text = issue.get("diagnostics") or (issue.get("details") or {}).get("text") or "no reason given"
    return " ".join(str(text).split())[:160]
