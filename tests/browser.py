"""A real browser for the tests of pages: headless Chromium, where there is one."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from selenium import webdriver

LAPTOP, TABLET, PHONE = (1366, 768), (820, 1180), (390, 844)


def programs() -> tuple[str, str]:
    """The browser and its driver; a test without them is skipped."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no Chromium and chromedriver here (Debian: apt-get install chromium chromium-driver)")
    return program, driver


def start(
    downloads: Path, size: tuple[int, int], arguments: Sequence[str] = (), *, mobile: bool | None = None
) -> webdriver.Chrome:
    """Open a browser whose window is `size` pixels, with further `arguments`; a test without one is skipped.

    `mobile`: as phones show pages; None: where `size` is PHONE, since a window cannot be made so narrow.
    """
    program, driver = programs()
    options = webdriver.ChromeOptions()
    options.binary_location = program
    # In a container, Chromium's sandbox and shared memory are not to be had; the page is the project's own.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", *arguments):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    mobile = size == PHONE if mobile is None else mobile
    if mobile:
        metrics = {"width": size[0], "height": size[1], "pixelRatio": 2, "touch": True, "mobile": True}
        options.add_experimental_option("mobileEmulation", {"deviceMetrics": metrics})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    if not mobile:
        browser.set_window_size(*size)
    return browser
