"""The page for clinicians in a real browser: two readings by keys alone, locks, reload, export, merge, import."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest
from browser import LAPTOP, PHONE, start
from omegaconf import DictConfig
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

from mpox.commands.explain import explain
from mpox.xai.questions import CANNOT_TELL

pytestmark = pytest.mark.slow
RATERS = ("María José Núñez", "王小明, Dr.")
PHOTOS, BLANK = 10, 3


class Page:
    """The page as a clinician meets it: keys go to wherever the focus is, and nothing is clicked."""

    def __init__(self, browser: webdriver.Chrome, path: Path) -> None:
        self.browser = browser
        browser.get(path.as_uri())

    def press(self, *keys: str) -> None:
        ActionChains(self.browser).send_keys(*keys).perform()

    def text(self, name: str) -> str:
        return self.browser.find_element(By.ID, name).text

    def photo(self) -> str:
        return str(self.browser.find_element(By.ID, "photo").get_attribute("data-id"))

    def map(self) -> str | None:
        return self.browser.find_element(By.ID, "map").get_attribute("src")

    def questions(self) -> list[str]:
        return [legend.text for legend in self.browser.find_elements(By.CSS_SELECTOR, "#questions legend")]

    def chosen(self) -> list[str]:
        return [
            str(button.get_attribute("value"))
            for button in self.browser.find_elements(By.CSS_SELECTOR, "#questions [aria-checked=true]")
        ]

    def begin(self, rater: str) -> None:
        if not self.browser.find_element(By.ID, "start").get_attribute("open"):
            self.browser.find_element(By.ID, "leave").click()
        self.press(rater, Keys.ENTER)
        assert self.text("who") == f"rater: {rater}"

    def take(self, file: Path) -> str:
        self.browser.execute_script("note('')")
        self.browser.find_element(By.ID, "file").send_keys(str(file))
        WebDriverWait(self.browser, 60).until(lambda _: self.text("note"))
        return self.text("note")


@pytest.fixture
def browser(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[webdriver.Chrome]:
    driver = start(tmp_path, getattr(request, "param", LAPTOP))
    yield driver
    complaints = [entry["message"] for entry in driver.get_log("browser")]
    driver.quit()
    assert not complaints


def test_two_readings_reload_export_merge_import(
    page: Callable[..., Path], configured: Callable[..., DictConfig], browser: webdriver.Chrome, tmp_path: Path
) -> None:
    path = page(f"review.photos={PHOTOS}", blank=BLANK)
    orders = [rate(Page(browser, path), rater, tmp_path) for rater in RATERS]
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]
    report = explain(configured("command=review", f"ratings={tmp_path}"))
    assert report["raters"] == sorted(RATERS)
    assert report["photos"] == PHOTOS
    questions = report["questions"]
    assert {name: entry["rated_by_all"] for name, entry in questions.items()} == {
        "diagnosis (first reading)": PHOTOS,
        "diagnosis (second reading)": PHOTOS - report["blank_maps"],
        "quality (first reading)": 0,
        "map_on_lesion (second reading)": PHOTOS - report["blank_maps"],
    }
    assert 0 < report["blank_maps"] <= BLANK
    assert questions["quality (first reading)"]["cannot_tell"] == 2 * PHOTOS
    assert questions["diagnosis (first reading)"]["all_agree"] == 1
    assert report["changes"]["diagnosis"]["pairs"] == 2 * (PHOTOS - report["blank_maps"])
    assert report["comments"][0]["answer"] == 'shiny, "wet"'
    assert "Krippendorff's alpha" in (path.parent / "ratings.md").read_text(encoding="utf-8")
    bring_back(browser, path, tmp_path)


def rate(page: Page, rater: str, downloads: Path) -> list[str]:
    """Answer every question by keys alone; the answer is a function of the photo, so that raters agree."""
    page.begin(rater)
    order = []
    for n in range(PHOTOS):
        photo = page.photo()
        order.append(photo)
        key = str(1 + int(photo[0], 16) % 3)
        assert page.text("place") == f"photo {n + 1} of {PHOTOS}"
        assert page.map() is None and "alone" in page.text("reading")
        assert page.questions() == ["What does the photo show?", "How good is the photo?"]
        page.press(" ", Keys.ENTER)  # neither shows the map before all is answered
        assert page.map() is None and "Answer every question first" in page.text("note")
        if n == 0:
            page.press("c", 'shiny, "wet"', Keys.ESCAPE)
        page.press("5", Keys.ARROW_UP, key, "0")  # changed before it is locked
        assert page.chosen()[1] == CANNOT_TELL and page.map() is None
        if n == 4:
            page.browser.refresh()
            assert page.text("finished") == "4 complete" and page.photo() == photo
            assert len(page.chosen()) == 2
        page.press(Keys.ENTER)
        assert "Second reading" in page.text("reading") and CANNOT_TELL in page.text("first")
        if page.map() is None:
            assert "blank" in page.text("blank") and page.questions() == []
            page.press(Keys.ENTER)
            continue
        assert page.questions() == ["What does the photo show?", "Is the map on the lesion?"]
        assert page.chosen() == []
        if n == 5:
            page.browser.refresh()
            assert page.photo() == photo and page.map()
        page.press(" ")
        assert page.browser.execute_script("return getComputedStyle(document.getElementById('map')).opacity") == "0"
        page.press("]")
        assert page.browser.execute_script("return getComputedStyle(document.getElementById('map')).opacity") != "0"
        page.press(key, "2")
    assert page.text("finished").startswith("all complete")
    known = set(downloads.glob("ratings-*.csv"))
    page.press("e")
    WebDriverWait(page.browser, 60).until(lambda _: set(downloads.glob("ratings-*.csv")) - known)
    return order


def bring_back(browser: webdriver.Chrome, path: Path, downloads: Path) -> None:
    """Forget everything the browser holds, import what a rater exported: all is there again, locks too."""
    files = {pd.read_csv(file)["rater"][0]: file for file in downloads.glob("ratings-*.csv")}
    browser.execute_script("localStorage.clear()")
    page = Page(browser, path)
    page.begin(RATERS[1])
    photo = page.photo()
    page.press("1", "1", Keys.ENTER)  # locked here too: those answers stay
    done = page.text("finished")  # one, where the map of that photo is blank
    assert page.take(files[RATERS[0]]).startswith("0 answers taken")
    assert page.text("finished") == done
    assert "locked otherwise" in page.take(files[RATERS[1]])
    assert page.text("finished").startswith("all complete")
    page.browser.execute_script("goTo(order.findIndex((one) => one.id === arguments[0]))", photo)
    assert "How good is the photo? unusable" in page.text("first")


@pytest.mark.parametrize("browser", [LAPTOP, PHONE], indirect=True, ids=["laptop", "phone"])
def test_it_fits_and_is_answered_by_touch(page: Callable[..., Path], browser: webdriver.Chrome) -> None:
    shown = Page(browser, page("review.blinded=false"))
    fits = "return document.documentElement.scrollWidth <= window.innerWidth"
    assert browser.execute_script(fits)
    browser.find_element(By.ID, "rater").send_keys("  Zoë   Müller ")
    browser.find_element(By.CSS_SELECTOR, "#start button").click()
    assert shown.text("who") == "rater: Zoë Müller"
    assert not browser.find_element(By.ID, "answer").is_displayed()

    def answer_all() -> None:
        for options in browser.find_elements(By.CSS_SELECTOR, "#questions .options"):
            options.find_elements(By.TAG_NAME, "button")[-1].click()

    answer_all()
    assert set(shown.chosen()) == {CANNOT_TELL}
    browser.find_element(By.ID, "forward").click()
    assert "The model's answer: " in shown.text("answer")
    assert "Is the model's answer plausible?" in shown.questions()
    assert browser.execute_script(fits)
    photo = shown.photo()
    answer_all()
    assert shown.photo() != photo
