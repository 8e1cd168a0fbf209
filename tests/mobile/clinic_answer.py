"""A clinic for tests of the app: its key, what it opens and answers, and answers as nobody should make them."""

import json
import os
import uuid
from pathlib import Path
from typing import Any

from mpox.files import read_json
from mpox.referrals.answer import make_answer
from mpox.referrals.desk import Desk
from mpox.referrals.envelope import IV_BYTES, open_file, sealed_answer
from mpox.referrals.fhir_server import FhirServer
from mpox.referrals.keys import PUBLIC, make_keys
from mpox.referrals.referral import Referral, read_referral
from mpox.referrals.state import Page, State

URI = "urn:ietf:rfc:3986"
MARKUP = "Come on Monday.\n<img src=x onerror=alert(1)>"


class Clinic:
    def __init__(self, folder: Path, name: str = "Clinic <b>&") -> None:
        self.key = make_keys(folder, name)
        self.file = folder / PUBLIC
        self.public: dict[str, Any] = read_json(self.file)

    def opened(self, file: str) -> tuple[Referral, dict[str, Any], bytes]:
        """The referral in a file of the app, checked; its bundle; the reply key, empty where there is none."""
        found = open_file(file.encode(), self.key)
        return read_referral(found.bundle, found.id), found.bundle, found.reply_key or b""

    def answered(self, file: str, label: str) -> str:
        """The file with the clinic's answer; its texts hold markup, which nobody may take for that."""
        referral, _, reply = self.opened(file)
        made = make_answer(referral, label, MARKUP, "Dr. <i>N</i>", place="a file", reply_key=reply or None)
        return made.outgoing.decode()


def answered_at(server: str, number: str, folder: Path) -> None:
    """The clinic looks at its server and answers referral `number` there: mpox."""
    desk = Desk(State(folder / "clinic.sqlite"), FhirServer(server), None, FhirServer(server))
    assert desk.look() == []
    page = Page("a-page", "Dr. <i>N</i>")
    desk.open(number, page)
    desk.first(number, page, "mpox")
    desk.answer(number, page, "mpox", MARKUP)
    desk.look()
    assert desk.troubles == []


def answer_bundle(referral: str) -> dict[str, Any]:
    """A made-up answer to a referral."""
    report = {
        "resourceType": "DiagnosticReport",
        "status": "final",
        "issued": "2026-11-28T12:00:00Z",
        "conclusionCode": [{"text": "chickenpox"}],
    }
    task = {
        "resourceType": "Task",
        "identifier": [{"system": URI, "value": f"urn:uuid:{referral}"}],
        "status": "completed",
    }
    entries = [{"fullUrl": f"urn:uuid:{uuid.uuid4()}", "resource": one} for one in (report, task)]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


def sealed(bundle: dict[str, Any], referral: str, key: bytes) -> str:
    return sealed_answer(referral, bundle, key, os.urandom(IV_BYTES)).decode()


def changed(answer: str, **fields: Any) -> str:
    return json.dumps(json.loads(answer) | fields)
