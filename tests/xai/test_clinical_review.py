"""The page for clinicians: its content, its use in a browser, and the report of its ratings."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import DictConfig

from mpox.commands.explain import explain
from mpox.errors import UserError
from mpox.files import read_json
from mpox.xai.rating_page import Question, photo_code, read_questions
from mpox.xai.ratings import COLUMNS, merge, read_ratings

CLASSES = ("acne", "chickenpox", "healthy", "mpox")


@pytest.fixture
def page(configured: Callable[..., DictConfig], trained: Path) -> Iterator[Callable[..., Path]]:
    """Make the page with the given options."""
    kept = trained / "explain"

    def made(*options: str) -> Path:
        # Maps of all validation and test photos, so that there are ten to rate.
        explain(configured("split=all", "target=predicted"))
        return Path(explain(configured("command=review", *options))["page"])

    yield made
    for name in ("review.html", "review-page.json", "ratings.json", "ratings.md"):
        (kept / name).unlink(missing_ok=True)


def test_the_page_gives_no_answer_away(page: Callable[..., Path]) -> None:
    blinded = page().read_text(encoding="utf-8")
    facts = read_json(page().with_name("review-page.json"))
    assert facts["photos"] == blinded.count("data:image/jpeg;base64,") == blinded.count("data:image/png;base64,")
    assert "-s00" not in blinded  # ids and paths of the photos name their class
    assert "The model says" not in blinded
    assert "What does the photo show?" in blinded
    assert "not a diagnosis" in blinded
    assert "http" not in blinded.replace("http-equiv", "")
    open_page = page("review.blinded=false").read_text(encoding="utf-8")
    assert open_page.count("The model says:") == facts["photos"]
    assert "What does the photo show?" not in open_page
    assert "-s00" not in open_page


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"text": "?", "options": ["a"]}, "needs 2 to 9 different options"),
        ({"text": "?", "options": ["a", "a"]}, "needs 2 to 9 different options"),
        ({"text": "?", "option": ["a", "b"]}, "unknown key 'option'"),
        ({"options": ["a", "b"]}, "needs a text"),
        ({"text": "?", "scale": "interval"}, "scale=interval"),
    ],
)
def test_questions_are_checked(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_questions({"q": entry}, CLASSES, blinded=True)


def test_questions_by_kind_of_page() -> None:
    entries = {
        "a": {"text": "A?", "show": "blinded"},
        "b": {"text": "B?", "show": "prediction", "options": ["no", "yes"]},
        "c": {"text": "C?", "options": [1, 2], "scale": "ordinal"},
    }
    assert [one.id for one in read_questions(entries, CLASSES, blinded=True)] == ["a", "c"]
    assert [one.id for one in read_questions(entries, CLASSES, blinded=False)] == ["b", "c"]
    assert read_questions(entries, CLASSES, blinded=True)[0].options == CLASSES


QUESTIONS = (
    Question("diagnosis", "What?", CLASSES, "nominal"),
    Question("fit", "How well?", ("bad", "fair", "good"), "ordinal"),
)


def ratings_file(
    path: Path, rater: str, answers: dict[str, tuple[str, str]], page: str = "p", at: str = "2026"
) -> Path:
    rows = [
        (page, rater, photo_code(photo), question.id, answer, at)
        for photo, given in answers.items()
        for question, answer in zip(QUESTIONS, given, strict=True)
    ]
    pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(path, index=False)
    return path


def test_ratings_meet_correctness_and_faithfulness(tmp_path: Path) -> None:
    names = [f"set/{k}.jpg" for k in range(12)]
    index = pd.DataFrame(
        {"photo_id": names, "group": names, "label": ["mpox"] * 12, "correct": [True] * 9 + [False] * 3}
    )
    scores = pd.DataFrame({"photo_id": names, "insertion": np.linspace(0, 1, 12), "road": [0.5] * 3 + [np.nan] * 9})
    levels = ["bad"] * 4 + ["fair"] * 4 + ["good"] * 4
    first = {name: ("mpox", level) for name, level in zip(names, levels, strict=True)}
    second = {**first, names[0]: ("acne", "fair")}
    files = [ratings_file(tmp_path / "a.csv", "a", first), ratings_file(tmp_path / "b.csv", "b", second)]
    # The same rater's earlier answer: the last counts.
    files.append(ratings_file(tmp_path / "old.csv", "a", {names[1]: ("acne", "good")}, at="2025"))
    report = merge(read_ratings(files), QUESTIONS, index, scores)
    assert (report["raters"], report["photos"]) == (["a", "b"], 12)
    diagnosis, fit = report["questions"]["diagnosis"], report["questions"]["fit"]
    assert diagnosis["answers"] == {"acne": 1, "chickenpox": 0, "healthy": 0, "mpox": 23}
    assert diagnosis["raters_right"]["value"] == pytest.approx(23 / 24)
    assert diagnosis["all_agree"] == pytest.approx(11 / 12)
    assert diagnosis["against_correctness"]["model_right"]["answers"]["acne"] == 1
    assert diagnosis["against_correctness"]["model_wrong"]["ratings"] == 6
    assert 0.9 < fit["cohen_kappa"] < 1
    assert fit["fleiss_kappa"] is None
    assert fit["against_faithfulness"]["insertion"]["rank_correlation"]["value"] > 0.9
    assert fit["against_faithfulness"]["road"] == {"photos": 3, "rank_correlation": None}


def test_ratings_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    answers = {"x": ("mpox", "good")}
    with pytest.raises(UserError, match="different pages"):
        read_ratings([ratings_file(tmp_path / f"{page}.csv", "a", answers, page) for page in "pq"])
    (tmp_path / "other.csv").write_text("photo,answer\n1,2\n")
    with pytest.raises(UserError, match="lacks the columns page, rater"):
        read_ratings([tmp_path / "other.csv"])
    with pytest.raises(UserError, match="no ratings"):
        read_ratings([])
    ratings = read_ratings([ratings_file(tmp_path / "a.csv", "a", {"x": ("flu", "good")})])
    with pytest.raises(UserError, match="'flu' is no answer to diagnosis"):
        merge(ratings, QUESTIONS)


@pytest.mark.slow
def test_a_browser_rates_reloads_exports_and_imports(
    page: Callable[..., Path], configured: Callable[..., DictConfig], tmp_path: Path
) -> None:
    """Ten photos by keyboard, a reload in the middle, two raters, a file brought back: in headless Chromium."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("needs Chromium and chromedriver (apt-get install chromium chromium-driver)")
    path = page("review.photos=10")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1366,768"):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path)})
    browser = webdriver.Chrome(options, webdriver.ChromeService(driver))
    try:
        orders = [rate(browser, path, rater, tmp_path) for rater in ("anna", "ben")]
        assert sorted(orders[0]) == sorted(orders[1])
        assert orders[0] != orders[1]
        severe = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
        assert not severe
        bring_back(browser, tmp_path)
    finally:
        browser.quit()
    report = explain(configured("command=review", f"ratings={tmp_path}"))
    assert report["raters"] == ["anna", "ben"]
    assert report["photos"] == 10
    for entry in report["questions"].values():
        assert entry["rated_by_all"] == 10
        assert entry["all_agree"] == 1
    assert report["comments"][0]["answer"] == 'shiny, "wet"'
    assert "Krippendorff's alpha" in (path.parent / "ratings.md").read_text()


def rate(browser: Any, path: Path, rater: str, downloads: Path) -> list[str]:
    """Answer every question by keys alone; the answer is a function of the photo, so that raters agree."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    def press(*keys: str) -> None:
        for key in keys:
            browser.switch_to.active_element.send_keys(key)

    def shown(name: str) -> Any:
        return browser.find_element(By.ID, name)

    browser.get(path.as_uri())
    if not shown("start").get_attribute("open"):
        shown("leave").click()
    shown("rater").clear()
    shown("rater").send_keys(rater, Keys.ENTER)
    assert shown("who").text == f"rater: {rater}"
    questions = browser.find_elements(By.CSS_SELECTOR, "#questions fieldset")
    order = []
    for n in range(10):
        photo = shown("photo").get_attribute("data-id")
        order.append(photo)
        assert shown("place").text == f"photo {n + 1} of 10"
        if n == 0:
            press(" ")
            assert browser.execute_script("return getComputedStyle(document.getElementById('map')).opacity") == "0"
            press(" ", "]", "c", 'shiny, "wet"', Keys.ESCAPE)
            assert browser.execute_script("return getComputedStyle(document.getElementById('map')).opacity") == "0.7"
        for _ in questions:
            press(str(1 + int(photo[0], 16) % 3))
        if n == 4:
            browser.refresh()
            assert shown("who").text == f"rater: {rater}"
            assert shown("finished").text == "5 complete"
    assert shown("finished").text.startswith("all answered")
    press("e")
    waited = time.monotonic() + 20
    while not list(downloads.glob(f"ratings-*-{rater}.csv")):
        assert time.monotonic() < waited
        time.sleep(0.1)
    return order


def bring_back(browser: Any, downloads: Path) -> None:
    """Forget everything the browser holds, import what the last rater exported: all is there again."""
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    browser.execute_script("localStorage.clear()")
    browser.refresh()
    browser.find_element(By.ID, "rater").send_keys("ben", Keys.ENTER)
    assert browser.find_element(By.ID, "finished").text == "0 complete"
    file = browser.find_element(By.ID, "file")
    file.send_keys(str(next(downloads.glob("ratings-*-anna.csv"))))
    waited = time.monotonic() + 10
    while "left out" not in browser.find_element(By.ID, "note").text:
        assert time.monotonic() < waited
    assert browser.find_element(By.ID, "finished").text == "0 complete"
    file.send_keys(str(next(downloads.glob("ratings-*-ben.csv"))))
    while not browser.find_element(By.ID, "finished").text.startswith("all answered"):
        assert time.monotonic() < waited + 10
