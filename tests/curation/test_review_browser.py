"""The review page in a real browser: decide by keyboard and mouse, reload, export, import, apply."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from audited import BROKEN, COPY, ODD
from browser import LAPTOP, TABLET, start
from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.expected_conditions import alert_is_present
from selenium.webdriver.support.select import Select
from selenium.webdriver.support.wait import WebDriverWait

from mpox.curation.curated import apply_decisions
from mpox.curation.decisions import read_decisions
from mpox.curation.findings import Audit
from mpox.curation.review_page import write_page

pytestmark = pytest.mark.slow
ORIGINAL, HEALTHY = "set/mpox/mpox-s001_01.jpg", "set/healthy/healthy-s001_01.jpg"


class Page:
    """The page as a person meets it."""

    def __init__(self, browser: webdriver.Chrome, url: str) -> None:
        self.browser = browser
        browser.get(url)

    def card(self, photo: str) -> WebElement:
        return self.browser.execute_script("return cards.get(arguments[0])", photo)  # type: ignore[no-any-return]

    def sheet(self, title: str) -> None:
        for button in self.browser.find_elements(By.CSS_SELECTOR, "#sheets button"):
            if button.text.startswith(title):
                return button.click()
        raise AssertionError(f"no sheet {title}")

    def press(self, *keys: str) -> None:
        ActionChains(self.browser).send_keys(*keys).perform()

    def click(self, photo: str, action: str) -> None:
        self.card(photo).find_element(By.CSS_SELECTOR, f"button.{action}").click()

    def focused(self) -> str | None:
        return self.browser.switch_to.active_element.get_attribute("data-id")

    def marked(self) -> str | None:
        return self.browser.execute_script("return marked()")  # type: ignore[no-any-return]

    def decision(self, photo: str) -> str | None:
        return self.card(photo).get_attribute("data-decision")

    def text(self, name: str) -> str:
        return self.browser.find_element(By.ID, name).text

    def export(self, folder: Path) -> Path:
        self.browser.find_element(By.ID, "export").click()
        WebDriverWait(self.browser, 10).until(lambda _: (folder / "decisions.csv").exists())
        return folder / "decisions.csv"


@pytest.fixture(params=[LAPTOP, TABLET], ids=["laptop", "tablet"])
def browser(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[webdriver.Chrome]:
    driver = start(tmp_path, request.param)
    yield driver
    complaints = [entry["message"] for entry in driver.get_log("browser")]
    driver.quit()
    assert not complaints


@pytest.fixture
def url(small_audit: Audit, tmp_path: Path) -> str:
    write_page(small_audit, tmp_path / "review" / "review.html", title="27 photos")
    return (tmp_path / "review" / "review.html").as_uri()


def test_keys_act_at_once_on_the_marked_photo(browser: webdriver.Chrome, url: str) -> None:
    """No click and no focus first; after a reload too; with a keyboard whose keys have other letters."""
    for _ in range(2):
        page = Page(browser, url)
        page.press("d")  # the first sheet holds one photo, which cannot be read
        assert page.decision(BROKEN) == "drop"
        browser.execute_script("document.activeElement.blur(); choose('all')")
        first = page.marked()
        assert first and page.focused() is None
        page.press("d")
        assert page.decision(first) == "drop"
        assert page.marked() != first
        page.press(Keys.ARROW_LEFT)
        assert page.marked() == first
        page.press("u")
        assert page.decision(first) == ""
    browser.execute_script(
        "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'л', code: 'KeyK', bubbles: true}))"
    )
    assert page.decision(first) == "keep"


def test_no_key_decides_about_a_photo_that_is_not_seen(browser: webdriver.Chrome, url: str) -> None:
    page = Page(browser, url)
    browser.execute_script("choose('all')")
    first = page.marked()
    browser.execute_script("window.scrollTo(0, document.body.scrollHeight)")
    WebDriverWait(browser, 30).until(lambda _: not browser.execute_script("return inView(arguments[0])", first))
    page.press("d")
    assert page.decision(first) == ""
    assert browser.execute_script("return inView(arguments[0])", first)
    page.press("d")
    assert page.decision(first) == "drop"


def test_decide_reload_export_apply(browser: webdriver.Chrome, url: str, small_audit: Audit, tmp_path: Path) -> None:
    page = Page(browser, url)
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    choose = Select(browser.find_element(By.ID, "sheet"))
    wide = browser.find_element(By.ID, "sheets").is_displayed()
    assert wide != browser.find_element(By.ID, "sheet").is_displayed()

    def sheet(title: str) -> None:
        if wide:
            return page.sheet(title)
        return choose.select_by_visible_text(next(o.text for o in choose.options if o.text.startswith(title)))

    # By keyboard: the copy is dropped for its group's sake, the original kept, with one key.
    sheet("Label conflicts")
    browser.execute_script("arguments[0].focus()", page.card(ORIGINAL))
    page.press("o")
    assert (page.decision(ORIGINAL), page.decision(COPY)) == ("keep", "drop")
    # By keyboard: what cannot be read cannot be kept.
    sheet("Unreadable files")
    browser.execute_script("arguments[0].focus()", page.card(BROKEN))
    page.press("k")
    assert page.decision(BROKEN) == ""
    assert "cannot be kept" in page.text("status")
    page.press("d")
    assert page.decision(BROKEN) == "drop"

    # By mouse, with a reason typed; a second thought; a new label.
    sheet("Blurred")
    page.click(HEALTHY, "keep")
    page.click(HEALTHY, "drop")
    reason = page.card(HEALTHY).find_element(By.CSS_SELECTOR, ".reason")
    assert reason.get_attribute("value") == "blurred"
    reason.clear()
    reason.send_keys('too "soft", twice', Keys.ENTER)
    assert page.focused() == HEALTHY
    browser.refresh()
    page = Page(browser, url)
    choose = Select(browser.find_element(By.ID, "sheet"))
    sheet("Blurred")
    assert page.decision(HEALTHY) == "drop"
    assert page.decision(ODD) == ""
    assert "4 of 27 in all" in page.text("progress-text")
    # Only what is undecided; relabelled by its number, a crop box drawn with the mouse in the large view.
    Select(browser.find_element(By.ID, "state")).select_by_value("undecided")
    assert page.card(HEALTHY) is None
    browser.execute_script("arguments[0].focus()", page.card(ODD))
    page.press("4")
    assert page.decision(ODD) == "relabel"
    page.press(Keys.ENTER, Keys.ENTER)  # the second decides nothing
    overlay = browser.find_element(By.ID, "overlay")
    WebDriverWait(browser, 30).until(lambda _: browser.execute_script("return $('viewer-photo').naturalWidth") == 100)
    shape = overlay.size["width"] / overlay.size["height"]
    assert abs(shape - 100 / 160) < 0.02, "the photo is shown upright and undistorted"
    width = overlay.size["width"]
    ActionChains(browser).move_to_element(overlay).click_and_hold().move_by_offset(width // 4, 3).release().perform()
    page.press(Keys.ESCAPE)
    WebDriverWait(browser, 30).until(lambda _: page.focused() == ODD)

    # Export wants a name; what it gives is what was decided.
    browser.find_element(By.ID, "export").click()
    assert "name" in page.text("status")
    browser.find_element(By.ID, "reviewer").send_keys("Ann", Keys.TAB)
    decided = read_decisions(page.export(tmp_path)).set_index("photo_id")
    assert decided["decision"].to_dict() == {
        COPY: "drop", BROKEN: "drop", HEALTHY: "drop", ORIGINAL: "keep", ODD: "relabel"
    }  # fmt: skip
    assert decided.loc[HEALTHY, "reason"] == 'too "soft", twice'
    assert decided.loc[ODD, "label"] == "mpox"
    assert set(decided["reviewer"]) == {"Ann"}
    left, top, side = map(int, decided.loc[ODD, "box"].split())
    assert abs(left - 50) <= 1 and abs(top - 80) <= 1 and abs(side - 25) <= 1
    curated = apply_decisions(small_audit, decided.reset_index()).manifest
    assert curated["keep"].sum() == 24

    # A colleague's file: into an empty page it comes whole, over other decisions only when confirmed.
    browser.execute_script("localStorage.clear()")
    page = Page(browser, url)
    assert "0 of 27 in all" in page.text("progress-text")
    browser.find_element(By.ID, "file").send_keys(str(tmp_path / "decisions.csv"))
    WebDriverWait(browser, 30).until(lambda _: "5 decisions imported" in page.text("status"))
    choose = Select(browser.find_element(By.ID, "sheet"))
    sheet("Blurred")
    page.click(HEALTHY, "keep")
    browser.find_element(By.ID, "file").send_keys(str(tmp_path / "decisions.csv"))
    alert = WebDriverWait(browser, 30).until(alert_is_present())
    assert alert.text.startswith("1 photos are decided otherwise")
    alert.dismiss()
    assert page.decision(HEALTHY) == "keep"


def test_without_the_photos_the_thumbnail_is_shown(small_audit: Audit, tmp_path: Path) -> None:
    """A page sent elsewhere still shows every photo; it asks no network for anything."""
    write_page(small_audit, tmp_path / "review.html", title="moved", link_photos=False)
    browser = start(tmp_path, LAPTOP)
    try:
        page = Page(browser, (tmp_path / "review.html").as_uri())
        page.sheet("All photos")
        assert len(browser.find_elements(By.CSS_SELECTOR, ".card img")) == 26
        shown = "return [...document.querySelectorAll('.card img')].every((img) => img.complete && img.naturalWidth)"
        WebDriverWait(browser, 30).until(lambda _: browser.execute_script(shown))
        browser.execute_script("view(arguments[0])", ODD)
        assert browser.execute_script("return $('viewer-photo').src").startswith("data:image/webp")
        asked = browser.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
        assert not [name for name in asked if not name.startswith("data:")]
    finally:
        browser.quit()
