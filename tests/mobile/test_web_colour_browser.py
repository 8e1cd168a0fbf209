"""Photos with a colour profile in the web app, in a real browser: the desk's working picture, or what is said."""

import base64
import io
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app_in_browser import Phone, written
from browser import TABLET, start
from icc import ADOBE_RGB, DISPLAY_P3, SRGB, colorants, of_matrix, parametric, profile, table
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from served import Host

from benchmarks import web_app
from mpox.data.display_p3 import display_p3
from mpox.data.photos import ORIENTATION, open_photo
from mpox.data.working_picture import boxed, square
from mpox.files import read_json
from mpox.mobile.site import SITE

pytestmark = pytest.mark.slow

# What the worker makes of the photo at a path.
ASK = """
const [path, done] = arguments;
const text = (bytes) => btoa(Array.from(bytes, (one) => String.fromCharCode(one)).join(""));
(async () => {
  const { picture, colours, jpeg } = await ask({ kind: "photo", blob: await (await fetch(path)).blob() });
  return { picture: text(picture.data), colours, jpeg: text(new Uint8Array(await jpeg.arrayBuffer())) };
})().then(done, (error) => done(String(error)));
"""
# As browsers that take no notice of what they are asked for.
DEAF = (
    "const own = createImageBitmap; self.createImageBitmap = (file) => own(file, { imageOrientation: 'from-image' });\n"
)

Asked = Callable[[Image.Image, str, Any], tuple[Path, dict[str, Any]]]


@pytest.fixture(scope="module")
def site(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(export, tmp_path_factory.mktemp("app") / "site")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    driver = start(tmp_path, TABLET)
    driver.set_script_timeout(100)
    yield driver
    driver.quit()


@pytest.fixture
def asked(browser: webdriver.Chrome, site: Path) -> Asked:
    """Saves a photo under a name and asks the app's worker about it."""
    url = Host(site).url
    browser.get(f"{url}icon.svg")  # of the app's own origin, without its page
    assert "milliseconds" in browser.execute_async_script(web_app.OPEN)

    def ask(photo: Image.Image, name: str, options: Any) -> tuple[Path, dict[str, Any]]:
        photo.save(site / name, **options)
        found = browser.execute_async_script(ASK, url + name)
        assert isinstance(found, dict), found
        return site / name, found

    return ask


def levels_off(path: Path, found: dict[str, Any], site: Path) -> np.ndarray:
    """By how many levels the app's working picture differs from the desk's, (side, side, 3)."""
    model = read_json(site / SITE)["model"]
    expected = square(open_photo(path), model["image_size"], model["interpolation"], model["resize"])
    given = np.frombuffer(base64.b64decode(found["picture"]), np.uint8).reshape(expected.shape)
    return np.abs(given.astype(int) - expected)


def noisy(width: int, height: int) -> Image.Image:
    """Colours that change over a photo, with a sensor's noise."""
    random = np.random.default_rng(0)
    small = Image.fromarray(random.integers(30, 225, (height // 99 + 2, width // 99 + 2, 3), np.uint8))
    smooth = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.int16)
    return Image.fromarray((smooth + random.integers(-12, 13, smooth.shape, np.int16)).clip(0, 255).astype(np.uint8))


def turned(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = value
    return exif


def test_photos_of_12_megapixels_give_the_desk_s_working_picture(asked: Asked, site: Path) -> None:
    photo = noisy(4000, 3000)
    wide = {"icc_profile": display_p3()}
    ways = {
        "p3.jpg": {"quality": 90, **wide},
        "p3-turned.jpg": {"quality": 90, "exif": turned(6), **wide},
        "p3.png": {"compress_level": 1, "exif": turned(8), **wide},
        "plain.jpg": {"quality": 90},
    }
    for name, options in ways.items():
        path, found = asked(photo, name, options)
        assert found["colours"] == ("none" if name == "plain.jpg" else "exact"), name
        assert levels_off(path, found, site).max() == 0, name


def test_each_pixel_of_a_small_photo_is_the_desk_s(asked: Asked, site: Path) -> None:
    """As large as the working picture, so that nothing is averaged; any colour, and parts that are transparent."""
    side = read_json(site / SITE)["model"]["image_size"]
    values = np.random.default_rng(1).integers(0, 256, (side, side, 4), np.uint8)
    values[..., 3] = np.where(values[..., 3] < 40, 0, 255)
    profiles = {
        "p3": profile(DISPLAY_P3),
        "adobe": of_matrix(colorants(ADOBE_RGB), [table([563])] * 3, version=2),
        "srgb": profile(SRGB),
    }
    for name, content in profiles.items():
        for kind, pixels in (("png", values), ("jpg", values[..., :3])):
            path, found = asked(Image.fromarray(pixels), f"small-{name}.{kind}", {"icc_profile": content})
            assert found["colours"] == "exact" and levels_off(path, found, site).max() == 0, path


def test_the_picture_that_people_see_is_converted_too(asked: Asked) -> None:
    photo = Image.new("RGB", (640, 480), (200, 60, 40))
    path, found = asked(photo, "seen.png", {"icc_profile": display_p3()})
    seen = np.asarray(Image.open(io.BytesIO(base64.b64decode(found["jpeg"]))), int)
    expected = np.asarray(boxed(open_photo(path), 96), int)
    assert np.abs(expected[0, 0] - (200, 60, 40)).min() > 10
    assert np.abs(seen - expected[0, 0]).max() <= 3  # a JPEG


def test_other_profiles_are_left_to_the_browser_and_this_is_said(asked: Asked, site: Path) -> None:
    lifted = of_matrix(colorants(DISPLAY_P3), [parametric(2.4, 0.94, 0.06, 0.08, 0.04, 0.004, 0.004)] * 3)
    path, found = asked(noisy(400, 300), "lifted.jpg", {"icc_profile": lifted})
    assert found["colours"] == "browser" and levels_off(path, found, site).mean() < 4


def test_a_browser_that_always_converts_is_found_out(site: Path, browser: webdriver.Chrome, tmp_path: Path) -> None:
    """The self-test says which way is taken; the service worker is left out, which would refuse the changed worker."""
    place = tmp_path / "site"
    shutil.copytree(site, place)
    worker = place / "worker.js"
    worker.write_text(DEAF + worker.read_text("utf-8"), "utf-8")
    for folder, way in ((place, "browser"), (site, "exact")):
        host = Host(folder)
        noisy(400, 300).save(folder / "p3.jpg", icc_profile=display_p3())
        browser.get(f"{host.url}icon.svg")
        assert "milliseconds" in browser.execute_async_script(web_app.OPEN)
        found = browser.execute_async_script(ASK, f"{host.url}p3.jpg")
        off = levels_off(folder / "p3.jpg", found, site)
        assert found["colours"] == way and off.mean() < 1 and (off.max() == 0) == (way == "exact")
        phone = Phone(browser, host.url)
        browser.get(f"{host.url}?selftest")
        phone.wait(lambda: browser.find_elements(By.CSS_SELECTOR, "[data-result=good]"))
        assert phone.texts[f"selftest_colours_{way}"] in phone.body()
        p3 = [one["photo"] for one in read_json(folder / SITE)["golden"] if one["picture"]][-1]
        says_equal = phone.texts["selftest_picture"].format(name=p3, difference="0.00") in phone.body()
        assert says_equal == (way == "exact"), phone.body()
