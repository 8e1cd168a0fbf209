"""A FHIR server asked by HTTP: what it may answer, and what is said where it does not."""

import email.utils
import json
import time
import urllib.parse
from typing import Any

import requests
import urllib3

from mpox.console import visible
from mpox.errors import UserError, reason_of
from mpox.referrals.envelope import LARGEST, strict_json
from mpox.referrals.refused import RefusedError
from mpox.referrals.shapes import listed, plain, words

SECONDS = 30  # between two signs of life
LONGEST = 600  # seconds that an answer may take altogether
LONGEST_PAUSE = 900  # seconds that a server may ask for
PART = 1 << 16
JSON = "application/fhir+json"
PORTS = {"https": 443, "http": 80}


class ServerError(UserError):
    """The server does not do what is asked: it is tried again."""


class UnavailableError(ServerError):
    """The server answers nothing at present: further questions would fare no better."""


class GoneError(ServerError):
    """What was asked for is not there, or not any more."""


class ConflictError(ServerError):
    """A version is not the one that was to be changed."""


class Asking:
    """Requests to one server, none of which leaves it: redirections and links to other hosts are not followed."""

    def __init__(self, base: str, token: str | None) -> None:
        self.base = base
        self._pause_until = 0.0
        self._session = requests.Session()
        self._session.headers.update({"Accept": JSON, "Cache-Control": "no-cache"})
        if token:
            self._session.auth = _Bearer(token)

    def own(self, link: str) -> str:
        """Return the complete address of a link of the server. Raises ServerError for one to another host."""
        try:
            url = urllib.parse.urljoin(self.base, link)
            same = _origin(url) == _origin(self.base)
        except ValueError:
            same = False
        if not same:
            raise ServerError(
                f"{self.base} sends on to {visible(link)[:100]}, another address, which is not asked: "
                "let the server name itself by the address that inbox= gives"
            )
        return url

    def ask(self, method: str, url: str, body: Any = None) -> tuple[dict[str, Any], str]:
        """Return the JSON object that is answered, and its version by the ETag ("" without). Raises ServerError."""
        left = self._pause_until - time.monotonic()
        if left > 0:
            raise UnavailableError(f"{self.base} asked for a pause: it is asked again in {left:.0f} seconds")
        response, content = self._exchange(method, url, body)
        status = response.status_code
        try:
            answer = strict_json(content)
        except RefusedError:
            answer = None
        if 200 <= status < 300 and isinstance(answer, dict):
            return answer, response.headers.get("ETag", "").removeprefix("W/").strip('"')
        if status in (429, 503):
            self._pause_until = time.monotonic() + _pause(response.headers.get("Retry-After", ""))
        raise _error(self.base, response, answer)

    def _exchange(self, method: str, url: str, body: Any) -> tuple[requests.Response, bytes]:
        until = time.monotonic() + LONGEST
        content = bytearray()
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
                # As it arrives: a part of fixed size may take for ever.
                while part := response.raw.read1(PART, decode_content=True):
                    content += part
                    if len(content) > LARGEST:
                        raise ServerError(f"{self.base} answers with more than {LARGEST // 1_000_000} MB")
                    if time.monotonic() > until:
                        raise UnavailableError(f"{self.base} is too slow: an answer took more than {LONGEST} seconds")
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise UnavailableError(f"{self.base} cannot be reached ({visible(reason_of(error))})") from error
        return response, bytes(content)


class _Bearer(requests.auth.AuthBase):
    """As a header alone the token would give way to a password for the host in ~/.netrc."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def why(outcome: Any) -> str:
    """The first words of an OperationOutcome."""
    issue = next(iter(listed(plain(outcome).get("issue"))), {})
    text = words(issue.get("diagnostics")) or words(plain(issue.get("details")).get("text")) or "no reason given"
    return visible(" ".join(text.split()))[:160]


def _error(base: str, response: requests.Response, answer: Any) -> ServerError:
    status = response.status_code
    said = f"{base} answers {status} ({why(answer)})"
    if 200 <= status < 300:
        kind = visible(response.headers.get("Content-Type", "of no type"))[:60]
        return ServerError(f"{base} answers {status}, but no JSON object ({kind}): is inbox= its base address?")
    if 300 <= status < 400:
        place = visible(response.headers.get("Location", "nowhere"))[:200]
        return ServerError(f"{base} answers {status} and sends on to {place}, which is not followed: give inbox=")
    if status in (401, 403):
        fix = f"{said}: give a token that may read and answer in MPOX_FHIR_TOKEN"
        return UnavailableError(fix) if status == 401 else ServerError(fix)
    if status in (404, 410):
        return GoneError(said)
    if status in (409, 412):
        return ConflictError(said)
    return UnavailableError(said) if status in (429, 503) else ServerError(said)


def _pause(text: str) -> float:
    """Seconds of a Retry-After, which is a number or a date; 0 without one."""
    try:
        seconds = float(text) if text.isdecimal() else email.utils.parsedate_to_datetime(text).timestamp() - time.time()
    except (TypeError, ValueError):
        return 0.0
    return min(max(seconds, 0.0), LONGEST_PAUSE)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or PORTS.get(parts.scheme)
