"""A referral as the clinic uses it, read from a bundle that was checked."""

import base64
import binascii
import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mpox.referrals.envelope import compact
from mpox.referrals.pictures import check_picture
from mpox.referrals.refused import RefusedError
from mpox.referrals.rules import check_bundle, uuid_of
from mpox.referrals.shapes import with_references
from mpox.stats.decision import OUTCOMES

OVERVIEW, CLOSE_UP, MAP = "overview", "close-up", "map"
LONGEST = 2000  # letters of a text that is shown
_THRESHOLD = "threshold"
# The note that the app gives its model.
_NOTE = re.compile(r"study (.+?), fold [^,]+, recipe [^,]+, classes ")


@dataclass(frozen=True)
class Picture:
    """A photo or a map (`of`: place of its photo among the pictures); the file's bytes, its type and size in pixels."""

    kind: str
    title: str
    mime: str
    width: int
    height: int
    content: bytes = field(repr=False)
    of: int | None = None


@dataclass(frozen=True)
class Model:
    """What answered, as the referral names it; `study` is empty where its note is not the app's."""

    name: str
    version: str
    sha256: str
    note: str

    @property
    def study(self) -> str:
        """The study that the model is of."""
        found = _NOTE.match(self.note)
        return found[1] if found else ""


@dataclass(frozen=True)
class Referral:
    """A referral that was checked. Probabilities are 0..1 by label, the mean over close-ups; `authored` is in UTC.

    `resources` are the bundle's, by the URL that references name them by.
    """

    id: str
    authored: datetime
    consent: str
    pictures: tuple[Picture, ...]
    answers: tuple[tuple[str, str], ...]
    outcome: str
    probabilities: Mapping[str, float]
    threshold: float | None
    model: Model
    resources: Mapping[str, dict[str, Any]] = field(repr=False)
    digest: str = field(repr=False, default="")

    def one(self, name: str) -> dict[str, Any]:
        """Return the one resource of a type."""
        return next(one for one in self.resources.values() if one["resourceType"] == name)


def read_referral(bundle: Any, number: str | None = None, *, served: bool = False) -> Referral:
    """Check a bundle by the format's rules and by FHIR R4B; return the referral it holds.

    `number`: the id that its envelope gives. `served`: it was fetched from a server, whose references are `Type/id`.
    Raises RefusedError.
    """
    resources = check_bundle(bundle, served=served)
    by_type: dict[str, list[dict[str, Any]]] = {}
    for one in resources.values():
        by_type.setdefault(one["resourceType"], []).append(one)
    for name in ("Patient", "Device", "Observation", "ServiceRequest", "Task"):
        if len(by_type.get(name, ())) != 1:
            raise RefusedError(f"it holds {len(by_type.get(name, ()))} {name} resources instead of one")
    (task,), (result,), (device,) = by_type["Task"], by_type["Observation"], by_type["Device"]
    own = uuid_of(task)
    if number is not None and own != number:
        raise RefusedError(f"its envelope is of {number}, its Task of {own}")
    consent = [one.get("valueString") for one in task.get("input", ()) if _text(one.get("type")) == "consent"]
    if not consent or not consent[0]:
        raise RefusedError("it holds no consent")
    probabilities, threshold = _probabilities(result)
    outcome = _text(result.get("valueCodeableConcept"))
    if outcome not in OUTCOMES:
        raise RefusedError(f"its result is none of {', '.join(OUTCOMES)}")
    return Referral(
        id=own,
        authored=_moment(task.get("authoredOn")),
        consent=_short(consent[0]),
        pictures=_pictures(resources),
        answers=_answers(by_type.get("QuestionnaireResponse", [])),
        outcome=outcome,
        probabilities=probabilities,
        threshold=threshold,
        model=_model(device),
        resources=resources,
        digest=digest_of(_by_identifier(resources) if served else resources),
    )


def digest_of(resources: Mapping[str, dict[str, Any]]) -> str:
    """Return the SHA-256 of what a referral says, whatever a server added to it."""
    bare = {url: {name: value for name, value in one.items() if name not in ("meta", "id")}
            for url, one in resources.items()}  # fmt: skip
    return hashlib.sha256(compact(bare)).hexdigest()


def _by_identifier(resources: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return resources by their own uuids: a referral that a server holds twice, or has moved, says the same."""
    names = {url: _own_name(one, url) for url, one in resources.items()}
    return {names[url]: with_references(one, lambda place: names.get(place, place)) for url, one in resources.items()}


def _own_name(resource: dict[str, Any], url: str) -> str:
    try:
        return uuid_of(resource)
    except RefusedError:  # such as a server may have added: it is known by its place alone
        return url


def _pictures(resources: Mapping[str, dict[str, Any]]) -> tuple[Picture, ...]:
    documents = {url: one for url, one in resources.items() if one["resourceType"] == "DocumentReference"}
    places = {url: k for k, url in enumerate(documents)}
    pictures = tuple(_picture(one, places) for one in documents.values())
    if not any(one.kind == CLOSE_UP for one in pictures):
        raise RefusedError("it holds no close-up photo")
    for one in pictures:
        if one.kind == MAP and (one.of is None or pictures[one.of].kind == MAP):
            raise RefusedError(f"{one.title} is the map of no photo")
    return pictures


def _picture(document: dict[str, Any], places: Mapping[str, int]) -> Picture:
    attachment = document["content"][0]["attachment"]
    text, title = _text(document.get("type")), _short(attachment.get("title") or "a picture")
    try:
        content = base64.b64decode(attachment["data"], validate=True)
        wanted = base64.b64decode(attachment["hash"], validate=True)
    except (KeyError, binascii.Error, ValueError) as error:
        raise RefusedError(f"{title} has no data, or no hash of it") from error
    if hashlib.sha1(content).digest() != wanted or attachment.get("size", len(content)) != len(content):
        raise RefusedError(f"{title} is not what its hash and size say")
    mime = attachment.get("contentType", "")
    width, height = check_picture(content, mime, title)
    kind = MAP if text.startswith("Map ") else CLOSE_UP if text.endswith("close-up") else OVERVIEW
    target = (document.get("relatesTo") or [{}])[0].get("target", {}).get("reference")
    return Picture(kind, title, mime, width, height, content, places.get(target) if kind == MAP else None)


def _probabilities(result: dict[str, Any]) -> tuple[dict[str, float], float | None]:
    found: dict[str, float] = {}
    for component in result.get("component", ()):
        label, value = _text(component.get("code")), component.get("valueQuantity", {}).get("value")
        if not label or len(label) > 100 or label in found or not _is_share(value):
            raise RefusedError("its probabilities are not one number from 0 to 1 a class")
        found[label] = float(value)
    threshold = found.pop(_THRESHOLD, None)
    if len(found) < 2:
        raise RefusedError("it gives no probabilities of classes")
    return found, threshold


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and 0 <= value <= 1


def _answers(responses: list[dict[str, Any]]) -> tuple[tuple[str, str], ...]:
    items = [item for response in responses for item in response.get("item", ())]
    return tuple(
        (_short(item.get("text") or item.get("linkId", "")), _short(answer.get("valueString", "")))
        for item in items
        for answer in item.get("answer", ())[:1]
    )


def _model(device: dict[str, Any]) -> Model:
    identifiers = {one.get("system"): one.get("value", "") for one in device.get("identifier", ())}
    name = (device.get("deviceName") or [{}])[0].get("name", "")
    version = (device.get("version") or [{}])[0].get("value", "")
    note = (device.get("note") or [{}])[0].get("text", "")
    return Model(_short(name), _short(version), _short(identifiers.get("urn:mpox:model-sha256", "")), _short(note))


def _moment(text: Any) -> datetime:
    try:
        moment = datetime.fromisoformat(str(text))
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise RefusedError("its Task has no time, or none that there is") from error


def _text(concept: Any) -> str:
    return str((concept or {}).get("text", ""))


def _short(text: Any) -> str:
    words = str(text)
    return words if len(words) <= LONGEST else f"{words[:LONGEST]}…"
