"""A real browser for the tests of pages: headless Chromium, where there is one."""

import shutil
from pathlib import Path

import pytest
from selenium import webdriver

LAPTOP, TABLET, PHONE = (1366, 768), (820, 1180), (390, 844)


def start(downloads: Path, size: tuple[int, int]) -> webdriver.Chrome:
    """Open a browser whose window is `size` pixels; a test without one is skipped."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if program is None or driver is None:
        pytest.skip("no Chromium and chromedriver here (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    # In a container, Chromium's sandbox and shared memory are not to be had; the page is the project's own.
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if size == PHONE:  # a window cannot be made so narrow
        metrics = {"width": size[0], "height": size[1], "pixelRatio": 2, "touch": True, "mobile": True}
        options.add_experimental_option("mobileEmulation", {"deviceMetrics": metrics})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    if size != PHONE:
        browser.set_window_size(*size)
    return browser
