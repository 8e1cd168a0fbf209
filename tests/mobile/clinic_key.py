"""A clinic for tests of the app: its key pair, what it opens, and the answers it gives (docs/reference/referral.md)."""

import base64
import hashlib
import json
import os
import uuid
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from pyhpke import AEADId, CipherSuite, KDFId, KEMId, KEMKey

SUITE = CipherSuite.new(KEMId.DHKEM_P256_HKDF_SHA256, KDFId.HKDF_SHA256, AEADId.AES256_GCM)
URI = "urn:ietf:rfc:3986"


def b64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def from_b64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Clinic:
    def __init__(self, name: str = "Clinic <b>&") -> None:
        self._private = ec.generate_private_key(ec.SECP256R1())
        raw = self._private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.public = {
            "format": "mpox-clinic-key",
            "version": 1,
            "suite": "DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM",
            "public": b64url(raw),
            "id": hashlib.sha256(raw).hexdigest()[:16],
            "name": name,
        }

    def opened(self, envelope: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The bundle in an envelope, and the reply key."""
        context = SUITE.create_recipient_context(
            from_b64url(envelope["enc"]), KEMKey.from_pyca_cryptography_key(self._private), info=b"mpox referral 1"
        )
        plain = context.open(from_b64url(envelope["ciphertext"]), aad=envelope["id"].encode())
        return json.loads(plain), context.export(b"mpox answer 1", 32)


def answer_bundle(referral: str, label: str = "chickenpox", *, issued: str = "2026-11-28T12:00:00Z") -> dict[str, Any]:
    """A clinic's answer; its text holds markup, which nobody may take for that."""
    mpox = [{"system": "http://snomed.info/sct", "code": "359814004"}]
    own = [{"system": URI, "value": f"urn:uuid:{uuid.uuid4()}"}]
    conclusion = {"text": label, **({"coding": mpox} if label == "mpox" else {})}
    report = {
        "resourceType": "DiagnosticReport",
        "identifier": own,
        "status": "final",
        "code": {"text": "Assessment of a skin lesion by a clinician"},
        "issued": issued,
        "performer": [{"display": "Dr. <i>N</i>"}],
        "conclusion": "Come on Monday.\n<img src=x onerror=alert(1)>",
        "conclusionCode": [conclusion],
    }
    task = {
        "resourceType": "Task",
        "identifier": [{"system": URI, "value": f"urn:uuid:{referral}"}],
        "status": "completed",
        "intent": "proposal",
    }
    entries = [{"fullUrl": f"urn:uuid:{uuid.uuid4()}", "resource": one} for one in (report, task)]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def answer_file(bundle: dict[str, Any], referral: str, key: bytes) -> str:
    iv = os.urandom(12)
    ciphertext = AESGCM(key).encrypt(iv, json.dumps(bundle).encode(), referral.encode())
    parts = {"iv": b64url(iv), "ciphertext": b64url(ciphertext)}
    return json.dumps({"format": "mpox-answer", "version": 1, "id": referral, **parts})
