"""The web app in a real browser, as a person meets it: what the tests of its screens share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import JavascriptException, StaleElementReferenceException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from mpox.errors import UserError
from mpox.files import read_json
from mpox.mobile.recipient import Recipient
from mpox.mobile.site import SiteOptions, write_site

WEB = Path(__file__).parents[2] / "apps" / "web"
TEXTS = {path.stem: read_json(path)["texts"] for path in (WEB / "texts").glob("*.json")}
PHONE = (360, 740)
LIMITS = {"min_side": 128, "min_sharpness": 0.4, "max_bright": 0.1, "max_dark": 0.25, "max_border": 0.1}
QUESTIONS = ("site", "onset", "fever", "contacts")


def written(export: Path, out: Path, recipient: Recipient | None = None) -> Path:
    """The app of an export; a test without the built program is skipped."""
    languages = ("en", "fr", "ar")
    options = SiteOptions("Mpox photo check", "Clinic, telephone 123", QUESTIONS, languages, LIMITS, recipient)
    try:
        write_site(export, out, options, overwrite=False)
    except UserError as error:
        if "is not built" in str(error):
            pytest.skip(str(error))
        raise
    return out


class Phone:
    """The app as a person meets it."""

    def __init__(self, browser: webdriver.Chrome, url: str, language: str = "en") -> None:
        self.browser, self.texts = browser, TEXTS[language]
        browser.get(f"{url}?lang={language}")
        self.wait(lambda: self.heading() == self.texts["welcome"])

    def wait(self, holds: Callable[[], Any], seconds: float = 40) -> Any:
        passing = [JavascriptException, StaleElementReferenceException]  # a page that is loaded again meanwhile
        return WebDriverWait(self.browser, seconds, 0.1, passing).until(lambda _: holds())

    def heading(self) -> str:
        text: str = self.browser.execute_script("return document.querySelector('h1')?.textContent ?? ''")
        return text

    def body(self) -> str:
        text: str = self.browser.execute_script("return document.body.innerText")
        return text

    def at(self, name: str) -> None:
        self.wait(lambda: self.heading() == self.texts[name])
        assert self.browser.execute_script("return document.activeElement === document.querySelector('h1')")

    def press(self, name: str, **values: str) -> None:
        text = self.texts[name].format(**values)
        for button in self.browser.find_elements(By.CSS_SELECTOR, "button"):
            if button.text == text:
                self.wait(button.is_enabled)
                self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
                return button.click()
        raise AssertionError(f"no button {text} in {self.body()}")

    def consent(self) -> None:
        self.browser.find_element(By.ID, "consent").click()
        self.press("begin")
        self.at("questions")
        self.press("next")
        self.at("overview")

    def choose(self, path: Path) -> None:
        self.browser.find_element(By.ID, "file").send_keys(str(path))

    def take(self) -> None:
        """Press the button whenever what the camera sees is good, until the next screen is there."""
        before = self.heading()
        press = "const [was, which] = arguments; if (document.querySelector('h1').textContent === was) "
        press += "document.querySelector(which)?.click()"

        def taken() -> bool:
            self.browser.execute_script(press, before, "button.primary:enabled")
            return self.heading() != before

        self.wait(taken)

    def asks(self, script: str) -> Any:
        """The value of an async function body in the page."""
        self.browser.set_script_timeout(60)
        done = "const done = arguments[arguments.length - 1];"
        whole = f"{done} (async () => {{ {script} }})().then(done, error => done(String(error)))"
        return self.browser.execute_async_script(whole)

    def shows_no_more_than_the_screen(self) -> bool:
        width: bool = self.browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        return width

    def violations(self) -> list[str]:
        """What axe-core finds on the screen shown now."""
        self.browser.execute_script((WEB / "node_modules" / "axe-core" / "axe.min.js").read_text())
        found = self.asks("return (await axe.run()).violations")
        assert isinstance(found, list), found
        return [f"{one['id']}: {one['nodes'][0]['html'][:120]} {one['nodes'][0]['failureSummary']}" for one in found]

    def sound(self) -> None:
        """The screen has the notice, fits, and axe-core finds nothing. MPOX_SCREENS=<folder> keeps a picture of it."""
        if place := os.environ.get("MPOX_SCREENS"):
            Path(place).mkdir(parents=True, exist_ok=True)
            width = self.browser.execute_script("return innerWidth")
            self.browser.save_screenshot(f"{place}/{len(list(Path(place).iterdir())):02d}-{width}.png")
        assert self.texts["never"] in self.body()
        assert self.shows_no_more_than_the_screen()
        assert self.violations() == []
