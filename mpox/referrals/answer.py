"""A clinician's answer as a FHIR transaction: the report to the person, the finding, and the Task completed."""

import os
import uuid
from typing import Any

from mpox.field.counts import CANNOT_TELL, OTHER
from mpox.referrals.envelope import IV_BYTES, compact, sealed_answer
from mpox.referrals.referral import Referral
from mpox.referrals.rules import URI, URN, uuid_of
from mpox.referrals.state import Answer, now

REPORT = "Assessment of a skin lesion by a clinician"
SNOMED_MPOX = {"system": "http://snomed.info/sct", "code": "359814004", "display": "Mpox"}
_MPOX = ("mpox", "monkeypox")


def choices(referral: Referral) -> list[str]:
    """Return the answers to choose from: the model's classes by name (their order says nothing), other, cannot tell."""
    classes = sorted(referral.probabilities, key=str.casefold)
    return [*(name for name in classes if name not in (OTHER, CANNOT_TELL)), OTHER, CANNOT_TELL]


def make_answer(
    referral: Referral, label: str, words: str, clinician: str, *, place: str, reply_key: bytes | None
) -> Answer:
    """Return the answer with what is sent, fixed here once: its uuids, its time and the iv it is sealed with.

    `place` is where the referral lies: `Task/<id>` at a server, else a file's name; its answer is then the file's
    bytes, sealed where there is a `reply_key`.
    """
    at = now()
    served = place.startswith("Task/")
    sentence = words or f"The clinician's answer: {label}."
    bundle = _bundle(referral, label, sentence, clinician, at, place if served else None)
    if reply_key is None:
        return Answer(label, words, at, compact(bundle))
    return Answer(label, words, at, sealed_answer(referral.id, bundle, reply_key, os.urandom(IV_BYTES)))


def _bundle(
    referral: Referral, label: str, words: str, clinician: str, at: str, server_task: str | None
) -> dict[str, Any]:
    def refer(url: str) -> dict[str, Any]:
        """A resource of the referral, from outside of it: by its place at the server, else by its identifier."""
        if server_task is not None:
            return {"reference": url}
        return {"identifier": {"system": URI, "value": f"{URN}{uuid_of(referral.resources[url])}"}}

    places = {one["resourceType"]: refer(url) for url, one in referral.resources.items()
              if one["resourceType"] in ("Patient", "ServiceRequest")}  # fmt: skip
    concept: dict[str, Any] = {"text": label}
    if label.casefold() in _MPOX:
        concept["coding"] = [SNOMED_MPOX]
    common = {"status": "final", "subject": places["Patient"], "basedOn": [places["ServiceRequest"]], "issued": at,
              "effectiveDateTime": at, "performer": [{"display": clinician}]}  # fmt: skip
    finding_url, report_url = _new(), _new()
    finding = {"resourceType": "Observation", "code": {"text": "Clinician's answer"}, **common,
               "valueCodeableConcept": concept}  # fmt: skip
    report = {"resourceType": "DiagnosticReport", "code": {"text": REPORT}, **common,
              "result": [{"reference": finding_url}], "conclusion": words, "conclusionCode": [concept]}  # fmt: skip
    task = _refer_again(referral.one("Task"), refer)
    task |= {"status": "completed", "lastModified": at,
             "output": [{"type": {"text": "answer"}, "valueReference": {"reference": report_url}}]}  # fmt: skip
    url = server_task or f"Task?identifier={URI}|{URN}{referral.id}"
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            _created(report_url, report),
            _created(finding_url, finding),
            {"fullUrl": _new(), "resource": task, "request": {"method": "PUT", "url": url}},
        ],
    }


def report_id(bundle: dict[str, Any]) -> str:
    """Return the uuid of an answer's report."""
    return uuid_of(bundle["entry"][0]["resource"])


def _created(url: str, resource: dict[str, Any]) -> dict[str, Any]:
    # Another uuid than the fullUrl's: a server may replace that wherever it is.
    number = _new()
    resource["identifier"] = [{"system": URI, "value": number}]
    once = f"identifier={URI}|{number}"
    return {"fullUrl": url, "resource": resource,
            "request": {"method": "POST", "url": resource["resourceType"], "ifNoneExist": once}}  # fmt: skip


def _refer_again(value: Any, refer: Any) -> Any:
    """Return a copy of a resource whose references are as `refer` makes them."""
    if isinstance(value, list):
        return [_refer_again(one, refer) for one in value]
    if not isinstance(value, dict):
        return value
    if "reference" in value:
        return refer(value["reference"])
    return {name: _refer_again(one, refer) for name, one in value.items()}


def _new() -> str:
    return f"{URN}{uuid.uuid4()}"
