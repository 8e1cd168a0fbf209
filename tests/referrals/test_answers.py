"""Answers on their way back: as files that the app opens, at a server, and through kills at every step."""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import requests
from clinic_worker import run
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from fhir.resources.R4B.bundle import Bundle
from fhir_process import Fhir
from made_referral import URI, from_b64url, id_of, of_type, referral, write
from test_hostile import settled

from mpox.referrals.desk import Desk
from mpox.referrals.fhir_server import FhirServer
from mpox.referrals.keys import PRIVATE, ClinicKey
from mpox.referrals.state import Page, State

WORKER = Path(__file__).with_name("clinic_worker.py")
PAGE = Page("a-page-of-a-browser", "Dr. N.")


def answered(desk: Desk, number: str, label: str, words: str = "") -> None:
    desk.open(number, PAGE)
    desk.first(number, PAGE, "cannot tell")
    desk.answer(number, PAGE, label, words)
    desk.look()


def opened_by_the_app(path: Path, reply_key: bytes) -> dict[str, Any]:
    """What the app reads of an answer's file."""
    outer = json.loads(path.read_bytes())
    assert (outer["format"], outer["version"], path.name) == ("mpox-answer", 1, f"{outer['id']}.answer.mpox")
    iv, ciphertext = from_b64url(outer["iv"]), from_b64url(outer["ciphertext"])
    bundle: dict[str, Any] = json.loads(AESGCM(reply_key).decrypt(iv, ciphertext, outer["id"].encode()))
    return bundle


def check_answer(bundle: dict[str, Any], asked: dict[str, Any], label: str, words: str, who: str = "Dr. N.") -> None:
    Bundle.model_validate(bundle)
    report, finding, task = (of_type(bundle, name) for name in ("DiagnosticReport", "Observation", "Task"))
    assert (report["status"], report["conclusion"], report["conclusionCode"][0]["text"]) == ("final", words, label)
    assert report["performer"] == [{"display": who}]
    assert finding["valueCodeableConcept"]["text"] == label
    coded = [one["code"] for one in report["conclusionCode"][0].get("coding", [])]
    assert coded == (["359814004"] if label == "mpox" else [])
    assert (task["status"], task["identifier"]) == ("completed", of_type(asked, "Task")["identifier"])
    assert task["output"][0]["valueReference"]["reference"] == bundle["entry"][0]["fullUrl"]


def test_a_sealed_referral_gets_a_sealed_answer_and_an_open_one_an_open_answer(
    key: ClinicKey, public: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    sealed, plain = referral(1, side=64), referral(2, side=64)
    reply = write(folder, sealed, public)[1]
    write(folder, plain)
    settled(folder)
    desk = Desk(State(tmp_path / "state.sqlite"), folder, key, folder / "answers")
    desk.look()
    answered(desk, id_of(sealed), "mpox", "Please come in.\nToday.")
    answered(desk, id_of(plain), "cannot tell")
    answer = opened_by_the_app(folder / "answers" / f"{id_of(sealed)}.answer.mpox", reply)
    check_answer(answer, sealed, "mpox", "Please come in.\nToday.")
    bundle = json.loads((folder / "answers" / f"{id_of(plain)}.answer.fhir.json").read_bytes())
    check_answer(bundle, plain, "cannot tell", "The clinician's answer: cannot tell.")
    patient = {"identifier": of_type(plain, "Patient")["identifier"][0]}
    assert of_type(bundle, "DiagnosticReport")["subject"] == patient  # nothing refers out of the file
    assert {case["state"] for case in desk.state.cases()} == {"answered"}


def test_an_answer_that_cannot_be_written_is_kept_and_sent_later(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    bundle = referral(1, side=64)
    write(folder, bundle)
    settled(folder)
    (folder / "answers").write_text("in the way")
    desk = Desk(State(tmp_path / "state.sqlite"), folder, None, folder / "answers")
    desk.look()
    answered(desk, id_of(bundle), "acne")
    assert "is not sent yet: cannot be written" in desk.troubles[0]
    assert desk.queue("")["cases"][0]["state"] == "answering"
    (folder / "answers").unlink()
    desk.look()
    assert desk.troubles == [] and len(list((folder / "answers").iterdir())) == 1


def worker(*arguments: object) -> subprocess.Popen[str]:
    """Start a worker; it is ready when this returns."""
    command = [sys.executable, str(WORKER), *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


@pytest.mark.slow
def test_a_clinic_killed_at_any_step_loses_and_doubles_nothing(
    keys: Path, public: dict[str, Any], tmp_path: Path
) -> None:
    bundle = referral(1, side=64)
    reply = write(tmp_path / "in", bundle, public)[1]
    settled(tmp_path / "in")
    count = int(worker("steps", tmp_path, keys / PRIVATE, "acne").communicate(timeout=300)[0])
    assert count > 25
    for base in sorted(tmp_path.glob("[0-9]*")):
        run(base, "in", str(keys / PRIVATE), "acne")
        (path,) = [one for one in (base / "in" / "answers").iterdir() if not one.name.startswith(".")]
        check_answer(opened_by_the_app(path, reply), bundle, "acne", "Please come in.", "N.")
        state = State(base / "state.sqlite")
        noted = Counter(line["what"] for line in state.trail())
        assert (noted["received"], noted["first answer"], noted["answered"], noted["sent"]) == (1, 1, 1, 1)
        assert [case["state"] for case in state.cases()] == ["answered"]


def everything(url: str, kind: str) -> list[dict[str, Any]]:
    page = requests.get(f"{url}{kind}?_count=1000", timeout=30).json()
    return [one["resource"] for one in page.get("entry", [])]


@pytest.mark.slow
def test_a_server_is_asked_and_answered_once(fhir: Fhir, key: ClinicKey, tmp_path: Path) -> None:
    """Sealed or not is the server's own business: its referrals need no key. Tasks of other programs are left alone."""
    url = fhir.start()
    asked = [referral(seed, side=64) for seed in range(3)]
    of_type(asked[0], "Patient")["meta"] = {"source": "https://gateway.example/1"}  # as a server adds it
    for bundle in asked:
        for _ in range(2):  # an app that did not hear the first answer
            assert requests.post(url, json=bundle, timeout=30).ok
    other = {"resourceType": "Task", "status": "requested", "intent": "order"}
    assert requests.post(f"{url}Task", json=other, timeout=30).ok
    server = FhirServer(url)
    desk = Desk(State(tmp_path / "state.sqlite"), server, None, server)
    assert desk.look() == [] and desk.others == 1
    assert {case["id"] for case in desk.state.cases()} == set(map(id_of, asked))
    answered(desk, id_of(asked[0]), "mpox", "Please come in.")
    query = f"{url}Task?identifier={URI}|urn:uuid:{id_of(asked[0])}"
    (entry,) = requests.get(query, timeout=30).json()["entry"]
    assert entry["resource"]["status"] == "completed"
    report = requests.get(url + entry["resource"]["output"][0]["valueReference"]["reference"], timeout=30).json()
    assert (report["conclusion"], report["conclusionCode"][0]["text"]) == ("Please come in.", "mpox")
    # Another clinic, with a state of its own, was faster with the second.
    faster = Desk(State(tmp_path / "other.sqlite"), server, None, server)
    faster.look()
    assert len(faster.state.cases()) == 2  # the first is completed
    answered(faster, id_of(asked[1]), "healthy")
    answered(desk, id_of(asked[1]), "acne")
    states = {case["id"]: case["state"] for case in desk.state.cases()}
    assert states == {id_of(asked[0]): "answered", id_of(asked[1]): "elsewhere", id_of(asked[2]): "open"}
    fhir.stop()
    desk.look()
    assert "cannot be reached" in desk.troubles[0]
    desk.open(id_of(asked[2]), PAGE)  # what was taken is here
    desk.first(id_of(asked[2]), PAGE, "acne")
    desk.answer(id_of(asked[2]), PAGE, "acne", "")
    desk.look()
    assert "is not sent yet" in desk.troubles[1]
    fhir.start()
    desk.look()
    assert desk.troubles == [] and len(everything(url, "DiagnosticReport")) == 3


@pytest.mark.slow
def test_a_clinic_killed_at_any_step_answers_a_server_once(fhir: Fhir, keys: Path, tmp_path: Path) -> None:
    url = fhir.start()
    bundle = referral(1, side=64)
    requests.post(url, json=bundle, timeout=30).raise_for_status()
    fhir.stop()
    asked = fhir.keep.read_bytes()
    for step in range(1, 100):
        fhir.keep.write_bytes(asked)
        fhir.start()
        base = tmp_path / f"{step}"
        base.mkdir()
        process = worker("kill", base, url, keys / PRIVATE, "acne", step)
        process.communicate(timeout=60)
        run(base, url, str(keys / PRIVATE), "acne")
        reports, tasks = everything(url, "DiagnosticReport"), everything(url, "Task")
        assert [one["conclusionCode"][0]["text"] for one in reports] == ["acne"]
        assert [one["status"] for one in tasks] == ["completed"]
        assert tasks[0]["output"][0]["valueReference"]["reference"] == f"DiagnosticReport/{reports[0]['id']}"
        assert [case["state"] for case in State(base / "state.sqlite").cases()] == ["answered"]
        fhir.stop()
        if process.returncode == 0:
            assert step > 25
            return
    pytest.fail("no clinic got through")


@pytest.mark.slow
def test_fifty_kills_at_random_and_a_network_that_fails(fhir: Fhir, keys: Path, tmp_path: Path) -> None:
    """Twelve referrals at a server that loses a third of its connections; the clinic is killed 50 times on its way."""
    draw = random.Random(7)
    url = fhir.start()
    asked = [referral(seed, side=64) for seed in range(12)]
    for bundle in asked:
        requests.post(url, json=bundle, timeout=30).raise_for_status()
    fhir.stop()
    fhir.start("--drop", "0.33")
    for _ in range(50):
        process = worker("run", tmp_path, url, keys / PRIVATE, "acne")
        time.sleep(draw.uniform(0, 0.3))
        process.kill()
        process.communicate(timeout=60)
    fhir.stop()
    fhir.start()
    run(tmp_path, url, str(keys / PRIVATE), "acne")
    reports, tasks = everything(url, "DiagnosticReport"), everything(url, "Task")
    assert len(reports) == len(asked) and {one["status"] for one in tasks} == {"completed"}
    places = {one["output"][0]["valueReference"]["reference"] for one in tasks}
    assert places == {f"DiagnosticReport/{one['id']}" for one in reports}
    state = State(tmp_path / "state.sqlite")
    noted = Counter((line["id"], line["what"]) for line in state.trail() if line["what"] in ("answered", "sent"))
    assert set(noted.values()) == {1} and len(noted) == 2 * len(asked)
