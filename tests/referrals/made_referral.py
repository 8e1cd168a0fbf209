"""Referrals as the app makes them (docs/reference/referral.md), with drawn photos, and encrypted as the app does."""

import base64
import hashlib
import io
import json
import random
import uuid
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

pytest.importorskip("fhir.resources", reason="no fhir.resources here: pip install 'mpox[clinic]'")
pytest.importorskip("pyhpke", reason="no pyhpke here: pip install 'mpox[clinic]'")
from pyhpke import AEADId, CipherSuite, KDFId, KEMId

ORDER = ("suspected", "not_ruled_out", "unclear", "not_suspected")
CLASSES = ("mpox", "chickenpox", "acne", "healthy")
SUITE = CipherSuite.new(KEMId.DHKEM_P256_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.AES256_GCM)
NAMED = "DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM"
URI = "urn:ietf:rfc:3986"


def photo(seed: int, side: int = 320, kind: str = "JPEG") -> bytes:
    """A drawn patch of skin with spots; not a medical image."""
    draw = random.Random(seed)
    picture = Image.new("RGB", (side, side), (201 + draw.randint(-20, 20), 160, 130))
    pen = ImageDraw.Draw(picture)
    for _ in range(12):
        x, y, r = draw.randint(0, side), draw.randint(0, side), draw.randint(side // 40, side // 12)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=(150 + draw.randint(-20, 20), 75, 65), outline=(225, 190, 160))
    with io.BytesIO() as file:
        picture.save(file, kind)
        return file.getvalue()


def map_over(seed: int, side: int = 224) -> bytes:
    with io.BytesIO() as file:
        picture = Image.new("RGBA", (side, side), (0, 0, 0, 0))
        x, y = random.Random(seed).randint(60, side - 60), side // 2
        for r in range(60, 0, -4):
            ImageDraw.Draw(picture).ellipse((x - r, y - r, x + r, y + r), fill=(250, 60 + 3 * r, 40, 255 - 4 * r))
        picture.save(file, "PNG")
        return file.getvalue()


def referral(
    seed: int = 0,
    outcome: str = "suspected",
    *,
    authored: str = "2026-11-20T10:00:00Z",
    close_ups: int = 1,
    **photos: Any,
) -> dict[str, Any]:
    """A bundle; `photos` go to `photo`."""
    draw = random.Random(f"{seed}/{outcome}")

    def new() -> str:
        return str(uuid.UUID(int=draw.getrandbits(128), version=4))

    places: dict[str, str] = {}

    def ref(name: str) -> dict[str, str]:
        return {"reference": places.setdefault(name, f"urn:uuid:{new()}")}

    def picture(name: str, text: str, content: bytes, mime: str, **more: Any) -> tuple[str, dict[str, Any]]:
        attachment = {
            "contentType": mime,
            "data": base64.b64encode(content).decode(),
            "hash": base64.b64encode(hashlib.sha1(content).digest()).decode(),
            "size": len(content),
            "title": name,
            "creation": authored,
        }
        return name, {
            "resourceType": "DocumentReference",
            "status": "current",
            "type": {"text": text},
            "subject": ref("patient"),
            "date": authored,
            "content": [{"attachment": attachment}],
            **more,
        }

    ups = [f"close-up {k + 1}" for k in range(close_ups)]
    pictures = [picture("overview 1", "Photo of a skin lesion, overview", photo(seed, **photos), "image/jpeg")]
    for k, name in enumerate(ups):
        content = photo(seed + 1000 + k, **photos)
        pictures.append(picture(name, "Photo of a skin lesion, close-up", content, "image/jpeg"))
        pictures.append(
            picture(f"map {k + 1}", f"Map of what the model used, {name}", map_over(seed + k), "image/png",
                    relatesTo=[{"code": "appends", "target": ref(name)}])
        )  # fmt: skip
    share = [0.55, 0.25, 0.15, 0.05]
    order = share if outcome == "suspected" else share[::-1]
    number = {"system": "http://unitsofmeasure.org", "code": "1"}
    mpox = [{"system": "http://snomed.info/sct", "code": "359814004", "display": "Mpox"}]
    components = [
        {
            "code": {"text": name, **({"coding": mpox} if name == "mpox" else {})},
            "valueQuantity": {"value": p, **number},
        }
        for name, p in zip(CLASSES, order, strict=True)
    ]
    components.append({"code": {"text": "threshold"}, "valueQuantity": {"value": 0.31, **number}})
    named: list[tuple[str, dict[str, Any]]] = [
        ("patient", {"resourceType": "Patient"}),
        ("device", {
            "resourceType": "Device",
            "deviceName": [{"name": "tf_efficientnet_lite0", "type": "model-name"}],
            "version": [{"value": "0.1.0"}],
            "type": {"text": "Image classifier for skin lesions, research software"},
            "note": [{"text": "study demo, fold 0, recipe fp32, classes mpox, chickenpox, acne, healthy"}],
        }),
        *pictures,
        ("answers", {
            "resourceType": "QuestionnaireResponse",
            "status": "completed",
            "subject": ref("patient"),
            "authored": authored,
            "item": [
                {"linkId": "site", "text": "Where on the body is it?", "answer": [{"valueString": "hand"}]},
                {"linkId": "fever", "text": "Have you had a fever?", "answer": [{"valueString": "yes"}]},
            ],
        }),
        ("result", {
            "resourceType": "Observation",
            "meta": {"security": [{
                "system": "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
                "code": "AIAST",
                "display": "Artificial Intelligence asserted",
            }]},
            "status": "preliminary",
            "category": [{"coding": [
                {"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "imaging"}]}],
            "code": {"text": "Suspicion of mpox in photos of skin, by research software; not a diagnosis"},
            "subject": ref("patient"),
            "device": ref("device"),
            "effectiveDateTime": authored,
            "valueCodeableConcept": {"text": outcome},
            "derivedFrom": [ref(name) for name in ups],
            "component": components,
        }),
        ("request", {
            "resourceType": "ServiceRequest",
            "status": "active",
            "intent": "proposal",
            "code": {"text": "Assessment of a skin lesion by a clinician"},
            "subject": ref("patient"),
            "authoredOn": authored,
            "reasonReference": [ref("result")],
            "supportingInfo": [*(ref(name) for name, _ in pictures), ref("answers")],
        }),
        ("task", {
            "resourceType": "Task",
            "status": "requested",
            "intent": "proposal",
            "focus": ref("request"),
            "for": ref("patient"),
            "authoredOn": authored,
            "lastModified": authored,
            "reasonReference": ref("result"),
            "input": [{"type": {"text": "consent"}, "valueString": "I agree that this goes to the clinic."}],
        }),
    ]  # fmt: skip
    entries = []
    for name, resource in named:
        number_of = f"urn:uuid:{new()}"
        resource["identifier"] = [{"system": URI, "value": number_of}]
        if name == "device":
            resource["identifier"].append({"system": "urn:mpox:model-sha256", "value": "ab" * 32})
        if name == "answers":
            resource["identifier"] = resource["identifier"][0]
        request = {"method": "POST", "url": resource["resourceType"], "ifNoneExist": f"identifier={URI}|{number_of}"}
        entries.append({"fullUrl": ref(name)["reference"], "resource": resource, "request": request})
    assembler = [{"system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type", "code": "assembler"}]
    provenance = {
        "resourceType": "Provenance",
        "target": [ref("result")],
        "recorded": authored,
        "agent": [{"type": {"coding": assembler}, "who": ref("device")}],
    }
    once = f"target={ref('result')['reference']}"
    entries.append({
        "fullUrl": f"urn:uuid:{new()}",
        "resource": provenance,
        "request": {"method": "POST", "url": "Provenance", "ifNoneExist": once},
    })  # fmt: skip
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def of_type(bundle: dict[str, Any], name: str) -> dict[str, Any]:
    """The first resource of a type."""
    return next(entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == name)


def id_of(bundle: dict[str, Any]) -> str:
    value: str = of_type(bundle, "Task")["identifier"][0]["value"]
    return value.removeprefix("urn:uuid:")


def b64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def from_b64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def sealed(bundle: dict[str, Any], public: dict[str, Any], **changed: Any) -> tuple[dict[str, Any], bytes]:
    """The envelope of a bundle for a clinic's public key, with `changed` fields, and the reply key."""
    number = changed.get("id", id_of(bundle))
    enc, context = SUITE.create_sender_context(
        SUITE.kem.deserialize_public_key(from_b64url(public["public"])), info=b"mpox referral 1"
    )
    ciphertext = context.seal(json.dumps(bundle).encode(), number.encode())
    envelope = {
        "format": "mpox-referral",
        "version": 1,
        "id": number,
        "suite": NAMED,
        "key": public["id"],
        "enc": b64url(enc),
        "ciphertext": b64url(ciphertext),
    }
    return envelope | changed, context.export(b"mpox answer 1", 32)


def write(folder: Path, bundle: dict[str, Any], public: dict[str, Any] | None = None) -> tuple[Path, bytes]:
    """Write a referral as a file, as the app does; return its path and the reply key (empty where there is none)."""
    folder.mkdir(parents=True, exist_ok=True)
    content, reply = (bundle, b"") if public is None else sealed(bundle, public)
    path = folder / f"{id_of(bundle)}{'.fhir.json' if public is None else '.mpox'}"
    part = folder / f".{path.name}.part"
    part.write_text(json.dumps(content), encoding="utf-8")
    return part.rename(path), reply
