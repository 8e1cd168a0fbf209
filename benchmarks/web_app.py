"""The web app in Chromium: does it answer as mpox.predict does, how soon, and in how much memory?

Makes photos of 12 megapixels of those given (larger, with a sensor's noise; JPEG, some turned by EXIF, some in Display
P3, and PNG), asks both about each, and times the app with its processes stopped three quarters of the time, which slows
page and worker alike, as the browser's own throttling does not.
`python -m benchmarks.web_app --model exports/<name> --photos <folder> --count 100`
"""

import argparse
import contextlib
import functools
import http.server
import io
import json
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image, ImageCms
from selenium import webdriver

from mpox.commands.predict import open_model
from mpox.data.display_p3 import display_p3
from mpox.data.photos import ORIENTATION, decoded, open_photo
from mpox.data.walk import walk
from mpox.data.working_picture import square
from mpox.mobile.run.decision_rule import DecidingPredictor, decide
from mpox.mobile.site import LIMITS, SITE, SiteOptions, write_site

LARGE = (4000, 3000)
# The slowed browser runs for so many seconds, then is stopped for three times as long.
RUNS_S, FACTOR = 0.01, 4
# Limits that refuse no photo.
NO_LIMITS = dict.fromkeys(LIMITS, 1.0) | {"min_side": 0, "min_sharpness": 0}
# The app's own worker, asked about one photo after the other; returns probabilities by its path and the milliseconds.
ASK = """
const [paths, done] = arguments;
(async () => {
  const site = await (await fetch("site.json")).json();
  const worker = new Worker("worker.js", { type: "module" });
  let number = 0;
  const ask = (request) => new Promise((resolve, reject) => {
    worker.onmessage = ({ data }) => (data.error ? reject(data.error) : resolve(data.answer));
    worker.postMessage({ number: number++, request });
  });
  const began = performance.now();
  await ask({ kind: "open", site, base: new URL(".", location.href).href });
  const opened = performance.now() - began;
  const found = [];
  for (const path of paths) {
    const blob = await (await fetch(path)).blob();
    const start = performance.now();
    const taken = await ask({ kind: "photo", blob });
    const { probabilities } = await ask({ kind: "classify", picture: taken.picture });
    found.push({ probabilities: [...probabilities], milliseconds: performance.now() - start, quality: taken.quality });
  }
  worker.terminate();
  return { opened, found };
})().then(done, (error) => done(String(error)));
"""


def phone_photo(source: Path, folder: Path, k: int) -> Path:
    """Write photo `source` as a phone would have taken it, 12 megapixels with noise, into `folder`; return its path.

    Photo `k` of a set: each third is turned by EXIF, each fourth in Display P3, each fifth a PNG.
    """
    random = np.random.default_rng(k)
    large = open_photo(source).resize(LARGE, Image.Resampling.BICUBIC)
    grain = np.tile(random.normal(0, 4, (300, 400, 3)), (10, 10, 1))
    photo = Image.fromarray(np.clip(np.asarray(large) + grain, 0, 255).astype(np.uint8))
    options: dict[str, Any] = {}
    if k % 4 == 3:
        wide = ImageCms.ImageCmsProfile(io.BytesIO(display_p3()))
        photo = ImageCms.profileToProfile(photo, ImageCms.createProfile("sRGB"), wide) or photo
        options["icc_profile"] = wide.tobytes()
    if k % 5 == 4:
        path = folder / f"{k:03d}.png"
        photo.save(path, compress_level=1, **options)
        return path
    if k % 3 == 2:
        exif = Image.Exif()
        exif[ORIENTATION] = 6
        photo, options["exif"] = photo.transpose(Image.Transpose.ROTATE_90), exif
    path = folder / f"{k:03d}.jpg"
    photo.save(path, quality=90, **options)
    return path


def predicted(model: DecidingPredictor, path: Path) -> np.ndarray:
    """Return the probabilities (C) that mpox.predict gives a photo."""
    with decoded(path) as photo:
        return model.probabilities(square(photo.picture, model.image_size, model.interpolation, model.resize))[0]


def in_browser(browser: webdriver.Chrome, url: str, paths: list[str]) -> dict[str, Any]:
    """Ask the app at `url` about photos at `paths` below it: `opened`, ms, and `found`, one a photo. RuntimeError."""
    browser.get(f"{url}icon.svg")  # of the app's own origin, without its page
    browser.set_script_timeout(600)
    answer = browser.execute_async_script(ASK, [url + path for path in paths])
    if isinstance(answer, str):
        raise RuntimeError(answer)
    return dict(answer)


def agreement(model: DecidingPredictor, desk: np.ndarray, app: np.ndarray) -> dict[str, Any]:
    """Compare probabilities (N, C): the share of the same decisions, and the largest difference."""
    decisions = [
        [decide(p, model.labels, model.positive, model.rule, 0.5) for p in side.astype("float32")]
        for side in (desk, app)
    ]
    same = [(a.label, a.action) == (b.label, b.action) for a, b in zip(*decisions, strict=True)]
    differences = np.abs(desk - app).max(1)
    return {
        "photos": len(desk),
        "same_decision": float(np.mean(same)),
        "max_delta_p": float(differences.max()),
        "median_delta_p": float(np.median(differences)),
    }


@contextlib.contextmanager
def slowed(browser: webdriver.Chrome) -> Iterator[None]:
    """Let the processes that the browser has now run a quarter of the time only."""
    ended = threading.Event()
    processes = psutil.Process(browser.service.process.pid).children(recursive=True)

    def each(action: str) -> None:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                getattr(process, action)()

    def pulse() -> None:
        while not ended.is_set():
            began = time.perf_counter()
            each("resume")
            time.sleep(RUNS_S)
            each("suspend")
            time.sleep((FACTOR - 1) * (time.perf_counter() - began))  # however long it really ran
        each("resume")

    thread = threading.Thread(target=pulse, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def peak_memory(browser: webdriver.Chrome, ended: threading.Event, found: list[int]) -> None:
    """Append the resident memory, bytes, of the largest of the browser's renderers until `ended`."""
    driver = psutil.Process(browser.service.process.pid)
    while not ended.wait(0.05):
        sizes = [0]
        for process in driver.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if any("--type=renderer" in word for word in process.cmdline()):
                    sizes.append(process.memory_info().rss)
        found.append(max(sizes))


def start() -> webdriver.Chrome:
    """Open headless Chromium, found on PATH."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Print nothing."""


def measure(export: Path, photos: list[Path], folder: Path, *, slow: int) -> dict[str, Any]:
    """Return bytes of the first visit, agreement, times (ms) and memory (MB) of the app of `export`; uses `folder`.

    `slow` photos are asked about again in the slowed browser; 0: none.
    """
    place = folder / "site"
    site = write_site(export, place, SiteOptions("Benchmark", None, (), ("en",), NO_LIMITS), overwrite=False)
    model = open_model(str(export), sensitivity=0.95, threads=1)
    (place / "photos").mkdir()
    made = [phone_photo(path, place / "photos", k) for k, path in enumerate(photos)]
    desk = np.stack([predicted(model, path) for path in made])
    handler = functools.partial(_Quiet, directory=place)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://localhost:{server.server_port}/"
    names = [f"photos/{path.name}" for path in made]
    browser = start()
    ended, sizes = threading.Event(), list[int]()
    watcher = threading.Thread(target=peak_memory, args=(browser, ended, sizes), daemon=True)
    watcher.start()
    try:
        asked = in_browser(browser, url, names)
        ended.set()
        slowly: dict[str, Any] = {}
        if slow:
            with slowed(browser):
                slowly = _times(in_browser(browser, url, names[:slow]))
    finally:
        browser.quit()
        server.shutdown()
    app = np.array([one["probabilities"] for one in asked["found"]])
    return {
        "first_visit_mb": site["first_visit_bytes"] / 1e6,
        **agreement(model, desk, app),
        "times_ms": _times(asked),
        "times_at_a_quarter_ms": slowly,
        "renderer_peak_mb": max(sizes, default=0) / 1e6,
        "recipe": json.loads((place / SITE).read_text(encoding="utf-8"))["model"]["recipe"],
    }


def _times(asked: dict[str, Any]) -> dict[str, float]:
    each = [one["milliseconds"] for one in asked["found"]]
    return {"first": asked["opened"] + each[0], "further": float(np.median(each[1:])) if each[1:] else each[0]}


def main() -> None:
    """Print the measures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="an export with format=onnx")
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photos, searched through")
    parser.add_argument("--count", type=int, default=100)
    given = parser.parse_args()
    found = sorted(given.photos / path for path in walk(given.photos, follow_links=True).photos)
    chosen = [found[k] for k in np.random.default_rng(0).permutation(len(found))[: given.count]]
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(measure(given.model, chosen, Path(folder), slow=8), indent=2))


if __name__ == "__main__":
    main()
