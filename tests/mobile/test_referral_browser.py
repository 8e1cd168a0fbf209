"""Sending a case to a clinician in a real browser: by file, and to a real FHIR server while network and tab are cut."""

import io
import json
import os
import time
from pathlib import Path
from random import Random

import pytest
import requests
from app_in_browser import written
from browser import TABLET
from clinic_answer import MARKUP, Clinic, answer_bundle, answered_at, sealed
from fhir_line import Line, fhir_server, held
from person_in_browser import Person, killed, opened
from PIL import Image
from selenium.webdriver.common.by import By
from served import Host

from mpox.field.given import read_given
from mpox.files import read_json
from mpox.mobile.recipient import Recipient, recipient

pytest.importorskip("pyhpke", reason="no pyhpke here: pip install 'mpox[clinic]'")
pytestmark = pytest.mark.slow


def test_an_encrypted_file_and_the_answer_to_it(export: Path, lesions: list[Path], tmp_path: Path) -> None:
    clinic = Clinic(tmp_path / "keys")
    host = Host(written(export, tmp_path / "site", recipient(clinic.file, None)))
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[274], exif[305], exif.get_ifd(34853)[1] = 1, "secret", "N"
    Image.open(lesions[-1]).save(turned, exif=exif)
    with opened(tmp_path) as browser:
        phone = Person(browser, host.url)
        phone.judged(turned, "hand")
        phone.sound()
        phone.preview()
        shown = phone.pictures()
        assert "Clinic <b>&" in phone.body() and phone.texts["site_hand"] in phone.body()
        phone.sound()
        phone.press("refer_make")
        phone.wait(lambda: phone.texts["consent_needed"] in phone.body())
        assert phone.stored()["referrals"] == []
        phone.agree("refer_make")
        phone.at("sent")
        number = phone.referral()
        phone.sound()
        stored = phone.stored()
        assert stored["contents"][0]["bundle"] is None  # on the disk it is encrypted already
        phone.press("save")
        envelope = phone.saved(tmp_path, f"{number}.mpox").read_text()
        referral, _, _ = clinic.opened(envelope)
        sent = [picture.content for picture in referral.pictures]
        assert len(sent) == 3 and sent == shown  # what was shown is what goes, and nothing else
        assert not Image.open(io.BytesIO(sent[1])).getexif() and b"secret" not in sent[0] + sent[1]
        phone.press("handed")
        phone.wait(lambda: phone.states() == ["sent"])
        assert phone.stored()["contents"] == []
        phone.sound()
        browser.get(f"{host.url}?lang=en")  # closed and opened again
        phone.at("welcome")
        phone.to_sent()
        wrong, right = tmp_path / "wrong.answer.mpox", tmp_path / "right.answer.mpox"
        wrong.write_text(sealed(answer_bundle(number), number, bytes(32)))
        right.write_text(clinic.answered(envelope, "mpox"))
        phone.open_answer(wrong)
        phone.wait(lambda: phone.texts["answer_wrong"] in phone.body())
        phone.open_answer(right)
        phone.wait(lambda: phone.states() == ["answered"])
        assert MARKUP in phone.body() and "Dr. <i>N</i>" in phone.body()
        assert not browser.find_elements(By.CSS_SELECTOR, ".reply img, .reply i")
        assert phone.texts["answer_wrong"] not in phone.body()
        phone.sound()
        file = phone.counts(tmp_path)
        counted = read_json(file)
        (model,) = counted["models"]
        outcome, share = stored["referrals"][0]["outcome"], stored["referrals"][0]["mpox"]
        assert model["sha256"] == read_json(tmp_path / "site" / "site.json")["model"]["sha256"]
        assert model["cases"] == [{"outcome": outcome, "mpox": pytest.approx(share, abs=0.005), "clinician": "mpox"}]
        (day,) = model["days"]
        assert (day["answered"], day["referred"], day["taken"], day["refused"]) == ({outcome: 1}, {outcome: 1}, 1, {})
        assert number not in json.dumps(counted)
        (read,) = read_given([file], model["study"]).phones
        assert [case.clinician for case in read.cases] == ["mpox"]
        browser.back()
        phone.at("sent")
        remove = browser.find_element(By.CSS_SELECTOR, "[data-id] button.plain")
        remove.click()
        assert phone.stored()["referrals"] and remove.text == phone.texts["sent_remove_sure"]
        remove.click()
        phone.wait(lambda: phone.texts["sent_none"] in phone.body())
        assert (phone.stored()["referrals"], len(phone.stored()["cases"])) == ([], 1)


def test_unencrypted_files_right_to_left_dark_on_a_tablet(export: Path, lesions: list[Path], tmp_path: Path) -> None:
    host = Host(written(export, tmp_path / "site", Recipient(None, None)))
    with opened(tmp_path, TABLET, dark=True) as browser:
        phone = Person(browser, host.url, "ar")
        phone.judged(lesions[0], "arm")
        phone.sound()
        phone.preview()
        assert phone.texts["refer_open"] in phone.body()
        phone.sound()
        phone.agree("refer_make")
        phone.at("sent")
        number = phone.referral()
        phone.press("save")
        bundle = phone.saved(tmp_path, f"{number}.fhir.json").read_text()
        answer = tmp_path / f"{number}.answer.fhir.json"
        answer.write_text(Clinic(tmp_path / "keys").answered(bundle, "healthy"))
        phone.open_answer(answer)
        phone.wait(lambda: phone.states() == ["answered"])
        phone.sound()
        phone.press("counts")
        phone.at("counts")
        phone.sound()
        # A share sheet that takes text files alone, as Chrome's on phones does.
        browser.execute_script(
            "window.shared = []; navigator.canShare = ({files}) => files[0].name.endsWith('.txt');"
            "navigator.share = async ({files}) => shared.push([files[0].name, await files[0].text()]);"
        )
        browser.execute_script("history.go(-3)")
        phone.at("what_next")
        phone.press("again")
        phone.at("welcome")
        number = phone.refer(lesions[0], "refer_make")
        phone.press("share")
        phone.wait(lambda: browser.execute_script("return shared.length"))
        ((name, text),) = browser.execute_script("return shared")
        assert name == f"{number}.fhir.json.txt" and json.loads(text)["resourceType"] == "Bundle"
        assert phone.states() == ["waiting", "answered"]  # shared is not arrived
        for name, reported in (("AbortError", False), ("NotAllowedError", True)):
            browser.execute_script(f"navigator.share = async () => {{ throw new DOMException('', '{name}'); }}")
            phone.press("share")
            text = phone.texts["share_failed"].format(why=f"\u2068{name}\u2069")
            phone.wait(lambda text=text, reported=reported: (text in phone.body()) == reported)


ONE_CASE = {
    "Patient": 1, "Device": 1, "DocumentReference": 3, "QuestionnaireResponse": 0, "Observation": 1,
    "ServiceRequest": 1, "Task": 1, "Provenance": 1,
}  # fmt: skip


def test_nothing_is_lost_or_doubled_on_the_way_to_a_server(export: Path, lesions: list[Path], tmp_path: Path) -> None:
    """The browser killed between storing and sending, each part of a POST cut; then the answer comes back."""
    with fhir_server() as server:
        line = Line(server)
        host = Host(written(export, tmp_path / "site", recipient(None, line.url)))
        line.state = "held"
        with opened(tmp_path) as browser:
            phone = Person(browser, host.url)
            number = phone.refer(lesions[0], "refer_send")
            phone.wait(lambda: line.arrived == 1)
            phone.sound()
            killed(browser)
        line.state = "cut_request"
        with opened(tmp_path) as browser:
            phone = Person(browser, host.url)
            phone.wait(lambda: line.arrived == 2)  # sent again by itself
            phone.to_sent()
            phone.wait(lambda: phone.stored()["referrals"][0]["fault"] == "network")
            assert (phone.referral(), phone.states(), line.posted) == (number, ["waiting"], 0)
            assert set(held(server).values()) == {0}
            line.state = "cut_reply"
            phone.press("send_now")
            phone.wait(lambda: line.posted == 1)
            assert held(server) == ONE_CASE  # it has arrived, and nobody here knows
            phone.wait(lambda: phone.stored()["referrals"][0]["tries"] == 2)
            assert phone.states() == ["waiting"] and phone.texts["state_waiting"] in phone.body()
            line.state = "refused"
            phone.press("send_now")
            phone.wait(lambda: phone.texts["state_refused"].format(why="\u2068413\u2069") in phone.body())
            phone.sound()
            killed(browser)
        line.state = "up"
        with opened(tmp_path) as browser:
            phone = Person(browser, host.url)
            phone.to_sent()
            phone.wait(lambda: browser.execute_script("window.dispatchEvent(new Event('online')); return 1"))
            phone.wait(lambda: phone.states() == ["sent"])
            assert held(server) == ONE_CASE and line.posted >= 2
            stored = phone.stored()
            assert stored["contents"] == [] and stored["referrals"][0]["id"] == number
            phone.sound()
            phone.press("ask")
            phone.wait(lambda: phone.texts["ask_none"] in phone.body())
            answered_at(server, number, tmp_path)
            browser.get(f"{host.url}?lang=en")
            phone.at("welcome")
            phone.to_sent()  # which asks by itself
            phone.wait(lambda: phone.states() == ["answered"])
            assert phone.texts["answer_label"].format(label="\u2068mpox\u2069") in phone.body()
            phone.sound()
            assert len(phone.stored()["cases"]) == 1
        line.stop()


def test_two_tabs_send_once(export: Path, lesions: list[Path], tmp_path: Path) -> None:
    with fhir_server() as server, opened(tmp_path) as browser:
        line = Line(server)
        line.seconds = 3
        host = Host(written(export, tmp_path / "site", recipient(None, line.url)))
        phone = Person(browser, host.url)
        phone.refer(lesions[0], "refer_send")
        phone.wait(lambda: line.arrived == 1)
        browser.switch_to.new_window("tab")
        other = Person(browser, host.url)
        other.to_sent()
        assert other.states() == ["waiting"]
        other.press("send_now")
        other.wait(lambda: other.states() == ["sent"])  # as the first tab reports
        time.sleep(2 * line.seconds)
        assert (line.arrived, line.posted, held(server)) == (1, 1, ONE_CASE)
        line.stop()


def test_no_room_and_no_storage_are_reported_in_words(export: Path, lesions: list[Path], tmp_path: Path) -> None:
    host = Host(written(export, tmp_path / "site", Recipient(None, None)))
    with opened(tmp_path) as browser:
        phone = Person(browser, host.url)
        phone.wait(lambda: phone.texts["ready"] in phone.body())
        origin = host.url.rstrip("/")
        browser.execute_cdp_cmd("Storage.overrideQuotaForOrigin", {"origin": origin, "quotaSize": 1000})
        browser.get("about:blank")  # a database that is open keeps what it knows of its room for a while
        phone = Person(browser, host.url)
        phone.judged(lesions[0])  # the app answers all the same
        phone.preview()
        phone.agree("refer_make")
        phone.wait(lambda: phone.texts["storage_full"] in phone.body())
        phone.sound()
        browser.execute_cdp_cmd("Storage.overrideQuotaForOrigin", {"origin": origin})
        phone.press("refer_make")
        phone.at("sent")
        phone.referral()
        refuse = "Object.defineProperty(window, 'indexedDB', {get() { throw new DOMException('', 'SecurityError'); }});"
        browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": refuse})
        browser.get(f"{host.url}?lang=en")
        phone.at("welcome")
        phone.to_sent()
        phone.wait(lambda: phone.texts["storage_refused"] in phone.body())
        phone.press("counts")
        phone.at("counts")
        assert phone.texts["storage_refused"] in phone.body()
        phone.press("home")
        phone.at("welcome")
        phone.judged(lesions[0])
        phone.preview()
        phone.agree("refer_make")
        phone.wait(lambda: phone.texts["storage_refused"] in phone.body())


def test_cuts_and_kills_at_random_lose_and_double_nothing(export: Path, lesions: list[Path], tmp_path: Path) -> None:
    """MPOX_CUTS=<rounds>: how many; a browser that is killed before it shows the list may have stored nothing."""
    random = Random(7)
    rounds = int(os.environ.get("MPOX_CUTS", "4"))
    with fhir_server() as server:
        line = Line(server)
        host = Host(written(export, tmp_path / "site", recipient(None, line.url)))
        shown: set[str] = set()
        for _ in range(rounds):
            with opened(tmp_path) as browser:
                phone = Person(browser, host.url)
                phone.judged(random.choice(lesions))
                phone.preview()
                line.state = random.choice(["up", "down", "held", "cut_request", "cut_reply"])
                phone.agree("refer_send")
                if random.random() < 0.7:
                    phone.at("sent")
                    shown.add(phone.referral())
                time.sleep(random.random())
                if random.random() < 0.8:
                    killed(browser)
        line.state = "up"
        with opened(tmp_path) as browser:
            phone = Person(browser, host.url)
            phone.to_sent()
            phone.wait(lambda: phone.states())
            if "waiting" in phone.states():
                phone.press("send_now")
            phone.wait(lambda: set(phone.states()) == {"sent"})
            stored = phone.stored()
        kept = {one["id"] for one in stored["referrals"]}
        assert shown <= kept and stored["contents"] == []
        assert held(server) == {kind: count * len(kept) for kind, count in ONE_CASE.items()}
        tasks = requests.get(f"{server}/Task?_count=1000", timeout=20).json()["entry"]
        assert {one["resource"]["identifier"][0]["value"].removeprefix("urn:uuid:") for one in tasks} == kept
        line.stop()
