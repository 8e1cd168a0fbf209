"""The web app's referrals, made by node: valid FHIR, opened by another library, accepted once; answers read."""

import base64
import hashlib
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from clinic_answer import MARKUP, Clinic, answer_bundle, changed, sealed
from PIL import Image

from mpox.referrals.refused import RefusedError

pytest.importorskip("pyhpke", reason="no pyhpke here: pip install 'mpox[clinic]'")
fhir = pytest.importorskip("fhir.resources.R4B.bundle", reason="no fhir.resources here: pip install 'mpox[clinic]'")

WEB = Path(__file__).parents[2] / "apps" / "web"
URI = "urn:ietf:rfc:3986"
MODEL = {
    "name": "lite0", "study": "demo", "fold": "all", "recipe": "int8_static", "tool_version": "0.1.0",
    "sha256": "ab" * 32, "labels": ["chickenpox", "healthy", "mpox"], "positive": 2,
    "rule": {"threshold": 0.31, "quantiles": None},
}  # fmt: skip
TYPES = [
    "Patient",
    "Device",
    "DocumentReference",
    "QuestionnaireResponse",
    "Observation",
    "ServiceRequest",
    "Task",
    "Provenance",
]


class Made:
    """What node made, and what it reads answers as."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("node") is None or not (WEB / "node_modules" / "esbuild").is_dir():
            pytest.skip("no node here, or make app has not been run")
        self.clinic = Clinic(folder / "keys")
        for name, side in (("photo.jpg", 64), ("map.png", 32)):
            Image.effect_noise((side, side), 60).save(folder / name)
        self.photo = (folder / "photo.jpg").read_bytes()
        jpeg, colours, at = str(folder / "photo.jpg"), str(folder / "map.png"), "2026-11-28T09:58:00Z"
        overview = {"view": "overview", "jpeg": jpeg, "map": None, "at": at}
        close_up = {"view": "close_up", "jpeg": jpeg, "map": colours, "at": at}
        case = {"made": "2026-11-28T10:00:00Z", "model": MODEL, "consent": "Я согласен <b>", "outcome": "not_ruled_out"}
        case |= {
            "probabilities": [0.5, 0.1, 0.4],
            "pictures": [overview, close_up, close_up],
            "answers": {"site": "hand", "fever": "no"},
        }
        rule = {"threshold": None, "quantiles": None}
        small = {**case, "pictures": [{**close_up, "map": None}], "answers": {}, "model": {**MODEL, "rule": rule}}
        text = {**case, "answers": {"site": "genitals"}}
        program = folder / "referral.mjs"
        bundle = ["node_modules/.bin/esbuild", str(Path(__file__).with_suffix(".ts").with_name("referral.ts"))]
        options = ["--bundle", "--format=esm", "--platform=node", "--log-level=error", f"--outfile={program}"]
        subprocess.run([*bundle, *options], cwd=WEB, check=True)
        self._node = subprocess.Popen(["node", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        cases = [case, small, {**text, "open": True}]
        self.all: list[dict[str, Any]] = self._ask({"cases": cases, "key": self.clinic.public})

    def _ask(self, question: dict[str, Any]) -> Any:
        assert self._node.stdin and self._node.stdout
        self._node.stdin.write(json.dumps(question) + "\n")
        self._node.stdin.flush()
        return json.loads(self._node.stdout.readline())

    def read(self, answers: list[str]) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._ask({"answers": answers})
        self._node.wait(10)
        return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("referral"))


def of_type(bundle: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [entry["resource"] for entry in bundle["entry"] if entry["resource"]["resourceType"] == kind]


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["reference"]] if "reference" in value else []
        return own + [one for inner in value.values() for one in references(inner)]
    return [one for inner in value for one in references(inner)] if isinstance(value, list) else []


def test_bundles_are_valid_fhir_and_complete_in_themselves(made: Made) -> None:
    for one in made.all:
        bundle = one["bundle"]
        fhir.Bundle.model_validate(bundle)
        places = [entry["fullUrl"] for entry in bundle["entry"]]
        named = []
        for entry in bundle["entry"]:
            resource, request = entry["resource"], entry["request"]
            assert (request["method"], request["url"]) == ("POST", resource["resourceType"])
            if resource["resourceType"] == "Provenance":
                assert request["ifNoneExist"] == f"target={resource['target'][0]['reference']}"
                continue
            own = resource["identifier"]
            first = own[0] if isinstance(own, list) else own
            assert request["ifNoneExist"] == f"identifier={URI}|{first['value']}" and first["system"] == URI
            named.append(first["value"])
        assert set(references(bundle)) <= set(places)
        assert len({*places, *named}) == len(places) + len(named)  # a server may replace an address wherever it stands
        assert of_type(bundle, "Task")[0]["identifier"][0]["value"] == f"urn:uuid:{one['id']}"
        assert of_type(bundle, "Patient")[0].keys() == {"resourceType", "identifier"}
        assert of_type(bundle, "Patient")[0]["identifier"][0]["value"] == f"urn:uuid:{one['pseudonym']}"
    assert len({one["id"] for one in made.all}) == 3


def test_a_bundle_holds_what_the_person_was_shown(made: Made) -> None:
    full, small, text = (one["bundle"] for one in made.all)
    kinds = [entry["resource"]["resourceType"] for entry in full["entry"]]
    assert list(dict.fromkeys(kinds)) == TYPES and len(kinds) == 12
    documents = of_type(full, "DocumentReference")
    assert [one["content"][0]["attachment"]["title"] for one in documents] == [
        "overview 1", "close-up 1", "map of close-up 1, not_ruled_out",
        "close-up 2", "map of close-up 2, not_ruled_out",
    ]  # fmt: skip
    attachment = documents[1]["content"][0]["attachment"]
    assert base64.b64decode(attachment["data"]) == made.photo and attachment["size"] == len(made.photo)
    assert attachment["hash"] == base64.b64encode(hashlib.sha1(made.photo).digest()).decode()
    observation = of_type(full, "Observation")[0]
    assert observation["valueCodeableConcept"] == {"text": "not_ruled_out"} and observation["status"] == "preliminary"
    assert observation["meta"]["security"][0]["code"] == "AIAST" and len(observation["derivedFrom"]) == 2
    shares = {one["code"]["text"]: one["valueQuantity"]["value"] for one in observation["component"]}
    assert shares == {"chickenpox": 0.5, "healthy": 0.1, "mpox": 0.4, "threshold": 0.31}
    coded = {
        one["code"]["text"]: one["code"]["coding"][0]["code"]
        for one in observation["component"]
        if "coding" in one["code"]
    }
    assert coded == {"mpox": "359814004"} and observation["bodySite"]["coding"][0]["code"] == "85562004"
    assert of_type(text, "Observation")[0]["bodySite"] == {"text": "genitals"}
    answers = {
        one["linkId"]: one["answer"][0]["valueString"] for one in of_type(full, "QuestionnaireResponse")[0]["item"]
    }
    assert answers == {"site": "hand", "fever": "no"} and not of_type(small, "QuestionnaireResponse")
    assert of_type(full, "Device")[0]["identifier"][1] == {"system": "urn:mpox:model-sha256", "value": "ab" * 32}
    assert of_type(full, "Task")[0]["input"][0]["valueString"] == "Я согласен <b>"
    assert "threshold" not in str(of_type(small, "Observation")) and "bodySite" not in of_type(small, "Observation")[0]


def test_envelopes_open_with_the_clinics_key_alone(made: Made, tmp_path: Path) -> None:
    other = Clinic(tmp_path, "Another")
    for one in made.all[:2]:
        file = json.dumps(one["file"])
        referral, bundle, _ = made.clinic.opened(file)
        assert bundle == one["bundle"] and referral.id == one["id"] and one["readable"] is False
        assert one["file"]["key"] == made.clinic.public["id"]
        wrong = [(other, changed(file, key=other.key.id)), (made.clinic, changed(file, id=made.all[2]["id"]))]
        for clinic, envelope in wrong:
            with pytest.raises(RefusedError, match="cannot be opened"):
                clinic.opened(envelope)


def test_the_clinic_reads_what_the_app_meant(made: Made) -> None:
    full, _, _ = made.clinic.opened(json.dumps(made.all[0]["file"]))
    plain, _, _ = made.clinic.opened(json.dumps(made.all[2]["bundle"]))
    assert [(one.kind, one.title, one.of) for one in full.pictures[:3]] == [
        ("overview", "overview 1", None),
        ("close-up", "close-up 1", None),
        ("map", "map of close-up 1, not_ruled_out", 1),
    ]  # fmt: skip
    assert (full.outcome, full.threshold, full.model.sha256) == ("not_ruled_out", 0.31, "ab" * 32)
    assert dict(full.probabilities) == {"chickenpox": 0.5, "healthy": 0.1, "mpox": 0.4}
    assert full.consent == "Я согласен <b>" and [answer for _, answer in full.answers] == ["hand", "no"]
    assert [answer for _, answer in plain.answers] == ["genitals"]


def test_answers_are_read_and_anything_else_refused(made: Made) -> None:
    first, second, plain = made.all
    files = [json.dumps(first["file"]), json.dumps(second["file"]), json.dumps(plain["bundle"])]
    keys = [made.clinic.opened(file)[2] for file in files[:2]]
    good, unsure = made.clinic.answered(files[0], "mpox"), made.clinic.answered(files[2], "cannot tell")
    silent = answer_bundle(plain["id"])
    silent["entry"][0]["resource"]["conclusionCode"] = "x"
    refused = {
        "no JSON": "<html>",
        "unknown": json.dumps(answer_bundle("0" * 36)),
        "not encrypted": json.dumps(answer_bundle(first["id"])),
        "does not open": sealed(answer_bundle(first["id"]), first["id"], keys[1]),
        "another referral's": sealed(answer_bundle(second["id"]), first["id"], keys[0]),
        "no conclusion": json.dumps(silent),
        "format": changed(good, version=2),
    }
    read = made.read([good, unsure, *refused.values()])
    assert read[0]["id"] == first["id"] and read[0]["answer"].pop("issued").startswith("2")
    assert read[0]["answer"] == {"by": "Dr. <i>N</i>", "label": "mpox", "mpox": True, "text": MARKUP}
    assert (read[1]["id"], read[1]["answer"]["label"], read[1]["answer"]["mpox"]) == (plain["id"], "cannot tell", False)
    for why, one in zip(refused, read[2:], strict=True):
        assert one["error"].startswith(f"AnswerError: {why}"), (why, one)
