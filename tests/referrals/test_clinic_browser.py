"""The clinician's page in a real browser: by keyboard alone, by two clinicians at once, and with hostile texts."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import LAPTOP, PHONE, start
from clinic_in_browser import Page
from made_referral import id_of, of_type, referral, write
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from test_answers import check_answer, opened_by_the_app
from test_hostile import settled

from mpox.referrals.desk import Desk
from mpox.referrals.keys import ClinicKey
from mpox.referrals.server import ClinicServer
from mpox.referrals.state import State

pytestmark = pytest.mark.slow
MARKUP = "<img src=x onerror=alert(1)><script>alert(2)</script>\u202eabc"
DESKTOP = (1280, 800)


@pytest.fixture
def clinic(key: ClinicKey, public: dict[str, Any], tmp_path: Path) -> Iterator[ClinicServer]:
    """Three sealed referrals; the second most urgent is full of markup."""
    folder = tmp_path / "in"
    bundles = [referral(1, close_ups=2), hostile(), referral(3, "not_suspected")]
    replies = {id_of(bundle): write(folder, bundle, public)[1] for bundle in bundles}
    settled(folder)
    desk = Desk(State(tmp_path / "state.sqlite", lease=60), folder, key, folder / "answers")
    desk.look()
    server = ClinicServer(desk, every=0.3, report=lambda _: None)
    server.bundles, server.replies = bundles, replies  # type: ignore[attr-defined]
    threading.Thread(target=server.serve, daemon=True).start()
    yield server
    server.shutdown()


def hostile() -> dict[str, Any]:
    """A referral whose every free text is markup; it is a valid one."""
    bundle = referral(2, authored="2026-11-21T10:00:00Z")
    of_type(bundle, "QuestionnaireResponse")["item"][0] |= {"text": MARKUP, "answer": [{"valueString": MARKUP}]}
    of_type(bundle, "Observation")["component"][1]["code"]["text"] = MARKUP
    of_type(bundle, "Device")["deviceName"][0]["name"] = MARKUP
    for entry in bundle["entry"]:
        if entry["resource"]["resourceType"] == "DocumentReference":
            entry["resource"]["content"][0]["attachment"]["title"] = MARKUP
    return bundle


@pytest.fixture
def browse(tmp_path: Path) -> Iterator[Callable[..., webdriver.Chrome]]:
    opened: list[webdriver.Chrome] = []

    def browser(size: tuple[int, int], *, dark: bool = False) -> webdriver.Chrome:
        opened.append(start(tmp_path, size))
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        opened[-1].execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        return opened[-1]

    yield browser
    for one in opened:
        one.quit()


def complaints(browser: webdriver.Chrome) -> list[str]:
    return [entry["message"] for entry in browser.get_log("browser")]


@pytest.mark.parametrize(("size", "dark"), [(DESKTOP, False), (DESKTOP, True), (PHONE, False), (PHONE, True)])
def test_a_case_is_read_blind_and_answered_by_keyboard_alone(
    size: tuple[int, int], dark: bool, clinic: ClinicServer, browse: Callable[..., webdriver.Chrome]
) -> None:
    browser = browse(size, dark=dark)
    page = Page(browser, clinic.url, "Dr. N.")
    page.wait(lambda: "Waiting: 3" in page.text())
    page.sound()
    page.open()
    page.sound()
    assert "First reading" in page.text("reading") and not page.shown("result") and not page.shown("map")
    assert not browser.find_element(By.ID, "forward").is_enabled()
    page.press(Keys.ARROW_RIGHT)
    page.wait(lambda: browser.find_element(By.ID, "photo").get_attribute("alt") == "close-up 2")
    page.press("1", Keys.ENTER)  # acne, by name the first
    page.wait(lambda: page.shown("result") and page.shown("map") and page.drawn("map"))
    page.sound()
    assert "Suspected" in page.text("outcome") and "acne" in page.text("first")
    opacity = "return document.getElementById('map').style.opacity"
    page.press(" ")
    assert browser.execute_script(opacity) == "0"
    page.press(" ", "[", "[")
    assert browser.execute_script(opacity) == "0.5"
    page.press("4", "c", "Please come in.", Keys.ESCAPE, Keys.ENTER)
    page.wait(lambda: page.shown("sure"))
    page.sound()
    assert "mpox" in page.text("sure") and "Please come in." in page.text("sure")
    page.press(Keys.ENTER)
    page.wait(lambda: page.shown("list") and "Waiting: 2" in page.text())
    bundle = clinic.bundles[0]  # type: ignore[attr-defined]
    answers = Path(str(clinic.desk.way))
    path = answers / f"{id_of(bundle)}.answer.mpox"
    page.wait(path.exists)
    check_answer(opened_by_the_app(path, clinic.replies[id_of(bundle)]), bundle, "mpox", "Please come in.")  # type: ignore[attr-defined]
    assert clinic.desk.state.first_of(id_of(bundle), "Dr. N.") == "acne"
    page.wait(lambda: "Answered (1)" in page.text())
    page.sound()
    assert complaints(browser) == []


def test_markup_is_text(clinic: ClinicServer, browse: Callable[..., webdriver.Chrome]) -> None:
    browser = browse(LAPTOP)
    page = Page(browser, clinic.url, "<b>Dr.</b> & Co")
    page.wait(lambda: "Waiting: 3" in page.text())
    page.press(Keys.ARROW_DOWN)
    page.open()
    page.press("0", Keys.ENTER)
    page.wait(lambda: page.shown("result"))
    page.sound()
    assert page.text().count("<img src=x onerror=alert(1)>") >= 5 and "<b>Dr.</b>" in page.text()
    apart = "return [...document.querySelectorAll('#model bdi')].map(one => one.textContent)"
    assert "version 0.1.0" in browser.execute_script(apart)  # the mark of direction in the name ends with it
    inside = "return document.querySelectorAll('img[src=x], main script, b').length"
    assert browser.execute_script(inside) == 0
    assert complaints(browser) == []  # a script that was stopped would be one


def test_two_browsers_and_one_case(clinic: ClinicServer, browse: Callable[..., webdriver.Chrome]) -> None:
    ann, bob = Page(browse(LAPTOP), clinic.url, "Ann"), Page(browse(LAPTOP), clinic.url, "Bob")
    for page in (ann, bob):
        page.wait(lambda page=page: "Waiting: 3" in page.text())  # type: ignore[misc]
    ann.open()
    bob.press(Keys.ENTER)
    bob.wait(lambda: "Ann works on this case, until" in bob.text("note"))
    bob.wait(lambda: "Ann works on it" in bob.text("waiting"))
    bob.sound()
    ann.press("4", Keys.ENTER)
    ann.wait(lambda: ann.shown("result"))
    # Ann's time is up, and Bob opens it: what she sends is not taken, and what she typed stays.
    clinic.desk.state.lease = 0.01
    number = id_of(clinic.bundles[0])  # type: ignore[attr-defined]
    clinic.desk.renew(number, type("P", (), {"session": clinic.desk.state.case(number)["holder"], "name": "Ann"})())
    time.sleep(0.1)
    clinic.desk.state.lease = 60
    bob.open()
    ann.press("c", "Come in", Keys.ESCAPE, Keys.ENTER)
    ann.wait(lambda: ann.shown("sure"))
    ann.press(Keys.ENTER)
    ann.wait(lambda: "Bob works on this case" in ann.text("note"))
    assert ann.browser.find_element(By.ID, "words").get_attribute("value") == "Come in"
    assert clinic.desk.state.answer_of(number) is None and not bob.shown("result")
    bob.press(Keys.ESCAPE)
    bob.wait(lambda: bob.shown("list"))
    ann.press(Keys.ESCAPE)
    ann.wait(lambda: ann.shown("list"))
    assert clinic.desk.state.case(number)["holder"] is None
