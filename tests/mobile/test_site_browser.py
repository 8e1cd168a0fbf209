"""The web app in a real browser: the whole journey with a fake camera, the network cut after the first load."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from app_in_browser import PHONE, Phone, written
from browser import TABLET, start
from fake_camera import arguments, write_video
from PIL import Image, ImageFilter, ImageOps
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select
from served import Host

from benchmarks import web_app
from mpox.data.photos import open_photo
from mpox.files import read_json, write_json
from mpox.mobile.site import MODEL, SITE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(export, tmp_path_factory.mktemp("app") / "site")


def out_of_focus(photo: Image.Image) -> Image.Image:
    """Blurred, and of full contrast: the steps of 8 bits in a flat picture would count as edges."""
    return ImageOps.autocontrast(photo.filter(ImageFilter.GaussianBlur(14)))


@pytest.fixture(scope="module")
def video(lesions: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the camera sees: a lesion out of focus, in the dark, and well, for three, three and nine seconds."""
    path = tmp_path_factory.mktemp("camera") / "camera.y4m"
    good = open_photo(lesions[-1])
    blurred = out_of_focus(good)
    dark = Image.eval(good, lambda value: value // 8)
    write_video(path, [(blurred, 15), (dark, 15), (good, 45)])
    return path


@pytest.fixture
def browser(video: Path, tmp_path: Path) -> Iterator[webdriver.Chrome]:
    driver = start(tmp_path, PHONE, arguments(video), mobile=True)
    yield driver
    complaints = [entry["message"] for entry in driver.get_log("browser")]
    driver.quit()
    assert not complaints


def test_journey_by_camera_without_a_network(browser: webdriver.Chrome, site: Path) -> None:
    """Consent, questions, a guided overview and two guided close-ups, the answer with maps, advice; all accessible."""
    host = Host(site)
    phone = Phone(browser, host.url)
    phone.wait(lambda: phone.texts["ready"] in phone.body())
    assert len([path for path in host.asked if path.endswith((MODEL, "runtime.bin"))]) == 2  # each fetched once
    host.stop()
    phone.press("begin")
    assert phone.texts["consent_needed"] in phone.body() and phone.heading() == phone.texts["welcome"]
    phone.sound()
    browser.find_element(By.ID, "consent").click()
    phone.press("begin")
    phone.at("questions")
    Select(browser.find_element(By.ID, "site")).select_by_visible_text(phone.texts["site_hand"])
    phone.sound()
    phone.press("next")
    phone.at("overview")
    take = browser.find_element(By.CSS_SELECTOR, "button.primary")
    seen = set()
    for fault in ("fault_blurred", "fault_dark", "camera_good"):
        phone.wait(lambda fault=fault: phone.texts[fault] in phone.body())  # type: ignore[misc]
        seen.add((fault, take.is_enabled()))
    assert {("fault_blurred", False), ("fault_dark", False)} <= seen
    phone.sound()
    phone.take()
    for number in (1, 2):
        phone.at("close_up")
        phone.take()
        phone.at("photos")
        assert phone.texts["photo_close_up"].format(number=number) in phone.body()
        if number == 1:
            phone.press("another")
    phone.sound()
    phone.press("see_answer")
    phone.wait(lambda: browser.find_elements(By.CSS_SELECTOR, ".number"))
    assert phone.heading() in [phone.texts[name] for name in ("suspected", "not_ruled_out", "unclear", "not_suspected")]
    browser.find_element(By.TAG_NAME, "summary").click()
    assert len(browser.find_elements(By.CSS_SELECTOR, ".layers")) == 2
    phone.sound()
    phone.press("what_next")
    phone.at("what_next")
    assert "Clinic, telephone 123" in phone.body()
    phone.sound()
    browser.back()  # the browser's own way back leads to the answer
    phone.wait(lambda: browser.find_elements(By.CSS_SELECTOR, ".number"))
    browser.get(f"{host.url}?selftest")
    phone.wait(lambda: browser.find_elements(By.CSS_SELECTOR, "[data-result=good]"))
    large = [one["photo"] for one in read_json(site / SITE)["golden"] if not one["kept"]]
    assert [phone.texts["selftest_missing"].format(name=name) in phone.body() for name in large] == [True]
    assert phone.texts["selftest_colours_exact"] in phone.body()
    phone.sound()


def test_right_to_left_and_dark_on_a_tablet(lesions: list[Path], site: Path, video: Path, tmp_path: Path) -> None:
    driver = start(tmp_path, TABLET, arguments(video))
    host = Host(site)
    try:
        dark = [{"name": "prefers-color-scheme", "value": "dark"}]
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": dark})
        phone = Phone(driver, host.url, "ar")
        assert driver.execute_script("return getComputedStyle(document.body).direction") == "rtl"
        assert phone.texts["draft"] in phone.body()
        phone.sound()
        phone.consent()
        phone.sound()
        phone.press("skip")
        phone.at("close_up")
        phone.choose(lesions[0])
        phone.at("photos")
        phone.sound()
        phone.press("see_answer")
        phone.wait(lambda: driver.find_elements(By.CSS_SELECTOR, ".number"))
        phone.sound()
        driver.get(f"{host.url}?selftest&lang=ar")  # with the photo of 12 megapixels
        phone.wait(lambda: driver.find_elements(By.CSS_SELECTOR, "[data-result=good]"))
        assert len(driver.find_elements(By.CSS_SELECTOR, "main li")) == len(read_json(site / SITE)["golden"])
        phone.sound()
    finally:
        driver.quit()


def test_files_of_any_name_and_kind_and_bad_photos(
    browser: webdriver.Chrome, site: Path, lesions: list[Path], tmp_path: Path
) -> None:
    """A hostile name changes nothing; what is no photo, or a bad one, is refused in words; a good one is judged."""
    phone = Phone(browser, Host(site).url)
    phone.consent()
    phone.press("skip")
    phone.at("close_up")
    good = tmp_path / "<img src=x onerror=alert(1)>\"';‮ gpj.exe%2e%2e.jpg"
    text, blurred = tmp_path / "$(reboot).png", tmp_path / "blurred.png"
    shutil.copy(lesions[-1], good)
    text.write_text("<script>alert(1)</script>")
    out_of_focus(open_photo(lesions[-1])).save(blurred)
    phone.choose(text)
    phone.wait(lambda: phone.texts["unreadable"] in phone.body())
    phone.choose(blurred)
    phone.wait(lambda: phone.texts["refused"].format(why=phone.texts["fault_blurred"]) in phone.body())
    phone.choose(good)
    phone.at("photos")
    assert "onerror" not in browser.page_source and "gpj" not in phone.body()


def test_a_phone_whose_self_test_fails_does_not_answer(
    browser: webdriver.Chrome, site: Path, lesions: list[Path], tmp_path: Path
) -> None:
    """site.json expects other answers than the model gives; the service worker is left out, which would refuse it."""
    place = tmp_path / "site"
    shutil.copytree(site, place)
    content = read_json(place / SITE)
    content["golden"][0]["probabilities"].reverse()
    content["title"] = "Spots & <b onclick=alert(1)>more</b>"
    write_json(place / SITE, content)
    phone = Phone(browser, Host(place).url)
    assert phone.texts["ready"] not in phone.body() and content["title"] in phone.body()  # text, never markup
    phone.consent()
    phone.press("skip")
    phone.at("close_up")
    phone.choose(lesions[0])
    phone.at("photos")
    phone.press("see_answer")
    phone.wait(lambda: phone.texts["selftest_bad"] in phone.body())
    assert not browser.find_elements(By.CSS_SELECTOR, ".number")
    browser.get_log("browser")  # the refused file


def test_a_new_version_takes_over_as_one(
    browser: webdriver.Chrome, float_onnx: dict[str, Any], site: Path, tmp_path: Path
) -> None:
    """A half-copied version is refused and the old one stays; the complete one is offered, and started when asked."""
    place = tmp_path / "site"
    shutil.copytree(site, place)
    host = Host(place)
    phone = Phone(browser, host.url)
    phone.wait(lambda: phone.texts["ready"] in phone.body())
    newer = written(float_onnx["place"], tmp_path / "newer")
    old = read_json(place / SITE)["version"]
    shutil.copy(newer / "service.js", place)  # its other files are not there yet
    version = "return (await (await fetch('site.json')).json()).version"
    phone.asks("const r = await navigator.serviceWorker.getRegistration(); await r.update().catch(() => 0);")
    phone.wait(lambda: phone.asks("const r = await navigator.serviceWorker.getRegistration(); return !r.installing"))
    assert phone.asks(version) == old and phone.texts["update"] not in phone.body()
    browser.get_log("browser")  # the refused files
    shutil.copytree(newer, place, dirs_exist_ok=True)
    phone.asks("const r = await navigator.serviceWorker.getRegistration(); await r.update(); return 1")
    phone.wait(lambda: phone.texts["update"] in phone.body())
    assert phone.asks(version) == old
    phone.press("update_now")
    phone.wait(lambda: phone.asks(version) == read_json(newer / SITE)["version"])
    phone.wait(lambda: phone.heading() == phone.texts["welcome"])
    browser.get_log("browser")


def test_the_app_answers_as_the_desk_does_on_real_photos(shared_photos: Path, export: Path, tmp_path: Path) -> None:
    """20 photos of 12 megapixels: JPEG, PNG, turned by EXIF, Display P3; `python -m benchmarks.web_app` takes more."""
    found = sorted((shared_photos / "msid").rglob("*.*g"))
    if not found:
        pytest.skip(f"no photos in {shared_photos}/msid")
    written(export, tmp_path / "built")
    chosen = found[:: len(found) // 20][:20]
    measured = web_app.measure(export, chosen, tmp_path, slow=0)
    assert measured["same_decision"] >= 0.95 and measured["max_delta_p"] < 0.005, measured
