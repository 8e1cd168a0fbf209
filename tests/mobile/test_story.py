"""The complete story between real parts: app, referral, clinic's page, answer in the app, label to train on.

Every kill and cut is of the real thing: Chromium's processes, the clinic's process, the connection to a FHIR server.
"""

import random
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from app_in_browser import written
from clinic_in_browser import Clinic, answered_mpox
from fhir_line import Line, fhir_server, held
from person_in_browser import Person, killed, opened
from selenium.common.exceptions import WebDriverException
from served import Host
from urllib3.exceptions import HTTPError

pytest.importorskip("pyhpke", reason="pyhpke is not installed: pip install mpox[clinic]")
pytest.importorskip("fhir.resources", reason="fhir.resources is not installed: pip install mpox[clinic]")

from mpox.data.sources import manifest
from mpox.mobile.recipient import recipient

pytestmark = pytest.mark.slow
TEXT = "Please come in.\n<b>Today.</b>"
SHOWN = ("Please come in.", "<b>Today.</b>", "Dr. N.")


def command(*arguments: object) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "mpox.clinic", *map(str, arguments)], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_by_encrypted_files(export: Path, lesions: list[Path], tmp_path: Path) -> None:
    keys, inbox = tmp_path / "keys", tmp_path / "in"
    command("keys", f"to={keys}", "name=Health centre")
    host = Host(written(export, tmp_path / "site", recipient(keys / "clinic.pub.json", None)))
    with opened(tmp_path) as browser:
        phone = Person(browser, host.url)
        number = phone.refer(lesions[0], "refer_make")
        phone.press("save")
        file = phone.saved(tmp_path, f"{number}.mpox")
        inbox.mkdir()
        (inbox / file.name).write_bytes(file.read_bytes())  # as a messenger brings it
        clinic = Clinic(f"inbox={inbox}", f"key={keys / 'clinic.key.json'}")
        answered_mpox(clinic, tmp_path, number, TEXT)
        answer = inbox / "answers" / f"{number}.answer.mpox"
        phone.wait(answer.is_file)
        assert clinic.end(signal.SIGTERM) == 128 + signal.SIGTERM
        phone.press("handed")
        phone.open_answer(answer)
        phone.sees("mpox", *SHOWN)
    command("export", f"inbox={inbox}", f"key={keys / 'clinic.key.json'}", f"to={tmp_path / 'labels'}")
    labels = manifest(str(tmp_path / "labels" / "manifest.csv")).manifest
    assert (labels["label"].tolist(), labels["subject"].tolist()) == (["mpox"], [number])


def test_by_a_server(export: Path, lesions: list[Path], tmp_path: Path) -> None:
    with fhir_server() as server:
        host = Host(written(export, tmp_path / "site", recipient(None, server)))
        clinic = Clinic(f"inbox={server}", f"state={tmp_path / 'state.sqlite'}")
        with opened(tmp_path) as browser:
            phone = Person(browser, host.url)
            number = phone.refer(lesions[0], "refer_send")
            phone.wait(lambda: phone.states() == ["sent"])
            answered_mpox(clinic, tmp_path, number, TEXT)
            phone.wait(lambda: held_reports(server))
            phone.press("ask")
            phone.sees("mpox", *SHOWN)
        clinic.end(signal.SIGTERM)
    command("export", f"inbox={server}", f"state={tmp_path / 'state.sqlite'}", f"to={tmp_path / 'labels'}")
    assert manifest(str(tmp_path / "labels" / "manifest.csv")).manifest["label"].tolist() == ["mpox"]


def held_reports(server: str) -> list[dict[str, Any]]:
    found = requests.get(f"{server}/DiagnosticReport?_count=1000", timeout=30).json()
    return [one["resource"] for one in found.get("entry", [])]


class Somebody:
    """A person whose browser may be killed at any time; it is opened again with what it had stored."""

    def __init__(self, folder: Path, url: str, photo: Path) -> None:
        self.folder, self.url, self.photo = folder, url, photo
        self._open: Any = None
        self.phone: Person | None = None

    def alive(self) -> Person:
        if self.phone is None:
            self._open = opened(self.folder)
            self.phone = Person(self._open.__enter__(), self.url)
        return self.phone

    def kill(self) -> None:
        if self.phone is not None:
            killed(self.phone.browser)

    def close(self) -> None:
        if self._open is not None:
            self._open.__exit__(None, None, None)
        self.phone = self._open = None

    def go_on(self, cases: int) -> None:
        """Make a referral while there are too few; else look at those that there are, which sends and asks."""
        phone = self.alive()
        phone.browser.get(f"{self.url}?lang=en")
        phone.at("welcome")
        if len(phone.stored()["referrals"]) < cases:
            phone.refer(self.photo, "refer_send")
        else:
            phone.to_sent()
            phone.browser.execute_script("window.dispatchEvent(new Event('online'))")


def answer_all(clinic: Clinic) -> None:
    page = {"session": "a-clinician-in-a-story", "name": "Dr. N."}
    for number in clinic.waiting():
        if clinic.post("open", number, page).ok:
            clinic.post("first", number, page, label="cannot tell")
            clinic.post("answer", number, page, label="other", words=TEXT)


def test_fifty_kills_lose_and_double_nothing(export: Path, lesions: list[Path], tmp_path: Path) -> None:
    """Browser, clinic and network are killed or cut 50 times in all, each at a random moment of somebody's work."""
    draw, cases = random.Random(5), 6
    with fhir_server() as server:
        line = Line(server)
        host = Host(written(export, tmp_path / "site", recipient(None, line.url)))
        person, clinic = Somebody(tmp_path, host.url, lesions[0]), None
        given = (f"inbox={line.url}", f"state={tmp_path / 'state.sqlite'}")
        done = {"tab": 0, "clinic": 0, "network": 0}
        while sum(done.values()) < 50:
            what = draw.choice(list(done))
            clinic = clinic or Clinic(*given)
            person.alive()
            line.state = draw.choice(("down", "cut_request", "cut_reply")) if what == "network" else "up"
            ending = {"tab": person.kill, "clinic": clinic.process.kill, "network": lambda: None}[what]
            timer = threading.Timer(draw.uniform(0, 3.5), ending)
            timer.start()
            for work in (lambda: person.go_on(cases), lambda clinic=clinic: answer_all(clinic)):  # type: ignore[misc]
                # Whatever a killed part makes of this step: what counts is what is there in the end.
                with suppress(WebDriverException, HTTPError, OSError, AssertionError, requests.RequestException):
                    work()
            timer.join()
            done[what] += 1
            if what == "tab":
                person.close()
            if what == "clinic":
                clinic.end(signal.SIGKILL)
                clinic = None
        assert min(done.values()) > 9 and held(server)["Task"] >= cases / 2 and held_reports(server)  # work went on
        line.state = "up"
        clinic = clinic or Clinic(*given)
        for _ in range(60):
            phone = person.alive()
            person.go_on(cases)
            answer_all(clinic)
            time.sleep(1)
            if phone.states() == ["answered"] * cases:
                break
            phone.browser.refresh()
        numbers = sorted(one["id"] for one in phone.stored()["referrals"])
        assert phone.states() == ["answered"] * cases and phone.stored()["contents"] == []
        tasks = requests.get(f"{server}/Task?_count=1000", timeout=30).json()["entry"]
        made = [one["resource"]["identifier"][0]["value"].removeprefix("urn:uuid:") for one in tasks]
        assert sorted(made) == numbers and {one["resource"]["status"] for one in tasks} == {"completed"}
        assert len(held_reports(server)) == cases
        counts = held(server)
        assert {counts[kind] for kind in ("Patient", "Device", "ServiceRequest", "Task", "Provenance")} == {cases}
        assert counts["Observation"] == 2 * cases  # the model's and the clinician's
        person.close()
        clinic.end(signal.SIGTERM)
        line.stop()
