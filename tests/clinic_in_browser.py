"""The clinician's side as tests of it meet it: the command in a process of its own, and its page in a real browser."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from browser import LAPTOP, start
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.wait import WebDriverWait

# The folder whose node_modules holds axe-core.
WEB = Path(os.environ.get("MPOX_WEB") or Path(__file__).parents[1] / "apps" / "web")


class Clinic:
    """`python -m mpox.clinic` in a process of its own."""

    def __init__(self, *arguments: object, folder: Path | None = None) -> None:
        """Start it in `folder`."""
        command = [sys.executable, "-u", "-m", "mpox.clinic", *map(str, arguments), "every=1"]
        output: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        self.process = subprocess.Popen(
            command, cwd=folder, **output,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background shell has it ignored
        )  # fmt: skip
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{30,}/", line), line
        self.url = line

    def post(self, action: str, number: str, page: dict[str, str], **more: str) -> requests.Response:
        return requests.post(self.url + action, json={"id": number, **page, **more}, timeout=30)

    def waiting(self) -> list[str]:
        cases = requests.get(f"{self.url}queue", timeout=30).json()["cases"]
        return [one["id"] for one in cases if one["state"] == "open"]

    def end(self, number: int) -> int:
        os.kill(self.process.pid, number)
        self.process.communicate(timeout=30)
        return self.process.returncode


class Page:
    """The page as a clinician meets it."""

    def __init__(self, browser: webdriver.Chrome, url: str, name: str) -> None:
        self.browser = browser
        browser.get(url)
        self.wait(lambda: browser.execute_script("return document.getElementById('start').open"))
        self.sound()
        self.press(name, Keys.ENTER)
        self.wait(lambda: self.shown("list"))

    def wait(self, holds: Callable[[], Any]) -> Any:
        return WebDriverWait(self.browser, 20, 0.1, [StaleElementReferenceException]).until(lambda _: holds())

    def press(self, *keys: str) -> None:
        ActionChains(self.browser).send_keys(*keys).perform()

    def shown(self, name: str) -> bool:
        return self.browser.find_element(By.ID, name).is_displayed()

    def text(self, name: str = "body") -> str:
        element = self.browser.find_element(By.TAG_NAME if name == "body" else By.ID, name)
        return element.text

    def open(self) -> None:
        self.press(Keys.ENTER)
        self.wait(lambda: self.shown("case") and self.drawn("photo"))

    def drawn(self, name: str) -> bool:
        script = "const one = document.getElementById(arguments[0]); return one.complete && one.naturalWidth > 0"
        return bool(self.browser.execute_script(script, name))

    def sound(self) -> None:
        """The screen fits, and axe-core finds nothing. MPOX_SCREENS=<folder> keeps a picture of it."""
        if place := os.environ.get("MPOX_SCREENS"):
            width = self.browser.execute_script("return innerWidth")
            self.browser.save_screenshot(f"{place}/{len(list(Path(place).iterdir())):02d}-clinic-{width}.png")
        assert "never a diagnosis" in self.text()
        assert self.browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        axe = WEB / "node_modules" / "axe-core" / "axe.min.js"
        if not axe.is_file():
            pytest.skip(f"no axe-core in {axe.parent}: run npm ci in apps/web")
        self.browser.execute_script(axe.read_text())
        script = (
            "const done = arguments[0]; axe.run().then(found => done(found.violations), error => done([String(error)]))"
        )
        self.browser.set_script_timeout(60)
        found = self.browser.execute_async_script(script)
        assert found == [], [(one["id"], one["nodes"][0]["html"][:200]) for one in found]


def answered_mpox(clinic: Clinic, folder: Path, number: str, words: str) -> None:
    """A clinician reads the only case blind, is then shown the result, and answers mpox and `words` on the page."""
    browser = start(folder, LAPTOP)
    try:
        page = Page(browser, clinic.url, "Dr. N.")
        page.wait(lambda: number[:8] in page.text("waiting"))
        page.open()
        assert not page.shown("result")
        page.press("0", Keys.ENTER)
        page.wait(lambda: page.shown("result") and page.drawn("map"))
        page.sound()
        mpox = next(one for one in browser.find_elements(By.CSS_SELECTOR, "#choices button") if "mpox" in one.text)
        mpox.click()
        page.press("c", words, Keys.ESCAPE, Keys.ENTER)
        page.wait(lambda: page.shown("sure"))
        page.press(Keys.ENTER)
        page.wait(lambda: page.shown("list") and "Answered (1)" in page.text())
    finally:
        browser.quit()
