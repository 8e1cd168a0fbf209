"""Somebody with a case and the web app in a real browser: judged, sent to a clinician, answered."""

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from app_in_browser import PHONE, Phone
from browser import start
from selenium import webdriver
from selenium.common.exceptions import WebDriverException
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

# A camera that shows a test picture, and nobody to ask for it.
CAMERA = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
STORED = """
const names = ["referrals", "contents", "days", "cases"];
const open = indexedDB.open("mpox " + location.pathname);
await new Promise(done => (open.onsuccess = done));
const transaction = open.result.transaction(names);
const all = {};
for (const name of names) {
  const asked = transaction.objectStore(name).getAll();
  await new Promise(done => (asked.onsuccess = done));
  all[name] = asked.result.map(one => ({...one, replyKey: one.replyKey ? String(one.replyKey) : null}));
}
open.result.close();
return all;
"""


@contextmanager
def opened(
    folder: Path, size: tuple[int, int] = PHONE, dark: bool = False, camera: Sequence[str] = CAMERA
) -> Iterator[webdriver.Chrome]:
    """A browser whose profile is in `folder`, so that a later one finds what is stored; downloads go beside it."""
    (folder / "downloads").mkdir(exist_ok=True)
    arguments = [*camera, f"--user-data-dir={folder / 'profile'}"]
    browser = start(folder / "downloads", size, arguments, mobile=size == PHONE)
    try:
        if dark:
            scheme = [{"name": "prefers-color-scheme", "value": "dark"}]
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        yield browser
    finally:
        with suppress(WebDriverException, OSError):  # a test may have killed it
            browser.quit()
        browser.service.stop()


class Person(Phone):
    """Somebody with a case."""

    def judged(self, photo: Path | None, site: str | None = None) -> None:
        """From the first screen to what to do next; without a photo by the camera."""

        def give() -> None:
            if photo is None:
                self.take()
            else:
                self.choose(photo)

        self.browser.find_element(By.ID, "consent").click()
        self.press("begin")
        self.at("questions")
        if site:
            Select(self.browser.find_element(By.ID, "site")).select_by_visible_text(self.texts[f"site_{site}"])
        self.press("next")
        self.at("overview")
        give()
        self.at("close_up")
        give()
        self.at("photos")
        self.press("see_answer")
        self.wait(lambda: self.browser.find_elements(By.CSS_SELECTOR, ".number"))
        self.press("what_next")
        self.at("what_next")

    def preview(self) -> None:
        self.press("refer")
        self.at("refer")
        loaded = "const all = [...document.images]; return all.length && all.every(one => one.naturalWidth > 0)"
        self.wait(lambda: self.browser.execute_script(loaded))

    def pictures(self) -> list[bytes]:
        """The files of the pictures on the screen, as the browser has them: the page's own policy forbids to ask."""
        ask = self.browser.execute_cdp_cmd
        ask("Page.enable", {})
        frame = ask("Page.getFrameTree", {})["frameTree"]["frame"]["id"]
        addresses = self.browser.execute_script("return [...document.images].map(one => one.src)")
        contents = [ask("Page.getResourceContent", {"frameId": frame, "url": one}) for one in addresses]
        return [base64.b64decode(one["content"]) for one in contents]

    def agree(self, button: str) -> None:
        self.browser.find_element(By.ID, "agree").click()
        self.press(button)

    def refer(self, photo: Path | None, button: str) -> str:
        """A referral from the first screen on; returns its id."""
        self.judged(photo)
        self.preview()
        self.agree(button)
        self.at("sent")
        return self.referral()

    def referral(self) -> str:
        """The id of the newest on the list."""
        script = "return document.querySelector('[data-id]')?.dataset.id"
        return str(self.wait(lambda: self.browser.execute_script(script)))

    def states(self) -> list[str]:
        script = "return [...document.querySelectorAll('[data-state]')].map(one => one.dataset.state)"
        found: list[str] = self.browser.execute_script(script)
        return found

    def stored(self) -> dict[str, Any]:
        found: dict[str, Any] = self.asks(STORED)
        return found

    def to_sent(self) -> None:
        self.wait(lambda: self.texts["sent"] in self.body())
        self.press("sent")
        self.at("sent")

    def saved(self, folder: Path, name: str) -> Path:
        path = folder / "downloads" / name
        self.wait(path.is_file)
        return path

    def open_answer(self, path: Path) -> None:
        self.browser.find_element(By.ID, "answer").send_keys(str(path))

    def sees(self, label: str, *texts: str) -> None:
        """The one case of the list is answered, with a label and further texts."""
        self.wait(lambda: self.states() == ["answered"])
        for text in (self.texts["answer_label"].format(label=f"\u2068{label}\u2069"), *texts):
            assert text in self.body()

    def counts(self, folder: Path) -> Path:
        """Save what the app counted, from the list of cases; return the file."""
        self.press("counts")
        self.at("counts")
        self.sound()
        self.press("counts_save")
        self.wait(lambda: list((folder / "downloads").glob("mpox-field-*.json")))
        return next((folder / "downloads").glob("mpox-field-*.json"))


def killed(browser: webdriver.Chrome) -> None:
    """End the browser as a phone that runs out of battery does."""
    for process in psutil.Process(browser.service.process.pid).children(recursive=True):  # type: ignore[attr-defined]
        with suppress(psutil.NoSuchProcess):
            process.kill()
