"""The page for clinicians: its content, its use in a browser, and the report of its ratings."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from omegaconf import DictConfig

from mpox.commands.explain import explain
from mpox.errors import UserError
from mpox.files import read_json
from mpox.xai.questions import CANNOT_TELL, Question, read_questions
from mpox.xai.rating_files import COLUMNS, NEWER, questions_of, read_ratings
from mpox.xai.rating_page import photo_code
from mpox.xai.ratings import as_markdown, merge

Configured = Callable[..., DictConfig]
CLASSES = ("acne", "chickenpox", "healthy", "mpox")


def embedded(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="page">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])  # type: ignore[no-any-return]


def test_the_page_gives_no_answer_away(page: Callable[..., Path]) -> None:
    path = page(blank=2)
    blinded, facts = path.read_text(encoding="utf-8"), read_json(path.with_name("review-page.json"))
    photos = embedded(blinded)["photos"]
    assert facts["photos"] == len(photos) == blinded.count("data:image/jpeg;base64,")
    assert facts["blank"] == sum(not photo["map"] for photo in photos) == 2
    assert "-s00" not in blinded  # ids and paths of the photos name their class
    assert not any("answer" in photo for photo in photos)
    assert {entry["id"]: entry["reading"] for entry in facts["questions"]} == {
        "diagnosis": "both", "quality": "first", "map_on_lesion": "map"
    }  # fmt: skip
    assert "not a diagnosis" in blinded
    assert "http" not in blinded.replace("http-equiv", "")
    with_answers = page("review.blinded=false").read_text(encoding="utf-8")
    assert all(photo["answer"].startswith("The model's answer: ") for photo in embedded(with_answers)["photos"])
    assert "plausible" in {entry["id"] for entry in embedded(with_answers)["questions"]}
    assert "-s00" not in with_answers


def test_a_page_is_of_the_photos_that_are_asked_for(page: Callable[..., Path], configured: Configured) -> None:
    """Maps of other photos, made since, are no maps of these."""
    page()
    explain(configured("split=train"))
    folder = Path(explain(configured("command=review", "split=test"))["page"]).with_name("gradcam")
    assert set(pd.read_parquet(folder / "index.parquet")["split"]) == {"test"}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"text": "?", "options": ["a"]}, "needs 2 to 9 different options"),
        ({"text": "?", "options": ["a", "a"]}, "needs 2 to 9 different options"),
        ({"text": "?", "option": ["a", "b"]}, "unknown key 'option'"),
        ({"options": ["a", "b"]}, "needs a text"),
        ({"text": "?", "options": ["a", "b", "cannot tell"]}, "remove it from the options"),
        ({"text": "?", "scale": "interval"}, "scale=interval is unknown"),
        ({"text": "?", "reading": "third"}, "reading=third is unknown"),
        ({"text": "?", "reading": "map"}, "asks nothing of the photo alone"),
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
    """A file as pages exported it before they had two readings."""
    rows = [
        (page, rater, photo_code(photo), question.id, answer, at)
        for photo, given in answers.items()
        for question, answer in zip(QUESTIONS, given, strict=True)
    ]
    pd.DataFrame(rows, columns=[name for name in COLUMNS if name not in NEWER]).to_csv(path, index=False)
    return path


def two_readings(path: Path, rater: str, answers: list[tuple[str, str, str]], locked: str = "2026-01-02") -> Path:
    """A file with each photo's first and second diagnosis."""
    rows = [
        ("p", rater, photo_code(photo), reading, "diagnosis", answer, "2026", locked if reading == "first" else "")
        for photo, *given in answers
        for reading, answer in zip(("first", "second"), given, strict=True)
    ]
    pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(path, index=False)
    return path


def explained(count: int) -> pd.DataFrame:
    names = [f"set/{k}.jpg" for k in range(count)]
    return pd.DataFrame({"photo_id": names, "group": names, "label": "mpox", "correct": True, "blank": False})


def test_the_two_readings_are_held_against_one_another(tmp_path: Path) -> None:
    index = explained(4)
    index.loc[0, "blank"] = True
    names = index["photo_id"]
    first = [(names[0], "mpox", "mpox"), (names[1], "acne", "mpox"), (names[2], "mpox", "acne")]
    second = [(names[1], CANNOT_TELL, "mpox"), (names[3], CANNOT_TELL, CANNOT_TELL)]
    files = [two_readings(tmp_path / "a.csv", "Zoë", first), two_readings(tmp_path / "b.csv", "王 小明", second)]
    report = merge(read_ratings(files), QUESTIONS, index)
    assert set(report["questions"]) == {"diagnosis (first reading)", "diagnosis (second reading)"}
    alone, with_map = report["questions"].values()
    assert (alone["reading"], alone["cannot_tell"], alone["answers"]["mpox"]) == ("first", 2, 2)
    assert alone["rated_by_all"] == 0  # the only photo that both rated has one answer that names a class
    assert alone["krippendorff_alpha"] is None
    assert alone["raters_right"]["value"] == pytest.approx(2 / 3)
    assert alone["against_correctness"]["model_right"]["cannot_tell"] == 2
    assert with_map["rated_by_all"] == 1 and with_map["all_agree"] == 1
    change = report["changes"]["diagnosis"]
    assert (change["pairs"], change["changed"], change["to_recorded"], change["from_recorded"]) == (5, 3, 2, 1)
    assert change["gain"]["value"] == pytest.approx(1 / 5)
    assert report["blank_maps"] == 1
    text = as_markdown(report)
    assert "3 of 5 answers were changed in the second reading, 2 to the recorded class and 1 away from it" in text
    assert "cannot tell 2" in text
    assert "Zoë; 王 小明" in text


def test_nobody_can_tell(tmp_path: Path) -> None:
    """No option was chosen at all: no figure, and no error either."""
    index = explained(2)
    answers = dict.fromkeys(index["photo_id"], (CANNOT_TELL, CANNOT_TELL))
    ratings = read_ratings([ratings_file(tmp_path / f"{rater}.csv", rater, answers) for rater in ("a", "b", "c")])
    scores = pd.DataFrame({"photo_id": index["photo_id"], "insertion": 0.5})
    for report in (merge(ratings, QUESTIONS, index, scores), merge(ratings, questions_of(ratings))):
        assert "blank_maps" not in report  # such pages asked about blank maps too
        for entry in report["questions"].values():
            assert (entry["cannot_tell"], entry["rated_by_all"], entry["fleiss_kappa"]) == (6, 0, None)
        assert "cannot tell 6" in as_markdown(report)


@pytest.mark.parametrize("name", ["María José Núñez", "王小明", "عمر الفاروق", 'O\'Neil, "Pat"; Dr.', "=1+1", "🩺"])
def test_any_name_is_read(name: str, tmp_path: Path) -> None:
    two_readings(tmp_path / "a.csv", name, [("x", "mpox", "mpox")])
    assert set(read_ratings([tmp_path / "a.csv"])["rater"]) == {name}


def test_one_person_is_one_rater_however_the_accent_is_written(tmp_path: Path) -> None:
    spelled = [" Zoë  Müller", "Zoe\u0308 Mu\u0308ller "]
    files = [two_readings(tmp_path / f"{k}.csv", name, [("x", "mpox", "mpox")]) for k, name in enumerate(spelled)]
    assert len(read_ratings(files)) == 2
    assert set(read_ratings(files)["rater"]) == {"Zoë Müller"}


def test_the_first_answers_that_were_locked_first_count(tmp_path: Path) -> None:
    """Read again elsewhere the map has been seen already; answers not yet locked never count against locked ones."""
    files = [
        two_readings(tmp_path / f"{locked or 'open'}.csv", "a", [("x", answer, answer)], locked)
        for locked, answer in (("2026-01-03", "acne"), ("2026-01-02", "mpox"), ("", "healthy"))
    ]
    ratings = read_ratings(files).set_index("reading")
    assert ratings.loc["first", "answer"] == "mpox"


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
    assert diagnosis["reading"] == "single"  # files of before the two readings have no such column
    assert not report["changes"]
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
    with pytest.raises(UserError, match=r"a\.csv, line 2: no rater"):
        read_ratings([ratings_file(tmp_path / "a.csv", " ", answers)])
    table = pd.read_csv(two_readings(tmp_path / "a.csv", "a", [("x", "mpox", "mpox")]))
    table.assign(reading=["first", "third"]).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(UserError, match=r"a\.csv, line 3: no reading of first, second"):
        read_ratings([tmp_path / "a.csv"])
    ratings = read_ratings([ratings_file(tmp_path / "a.csv", "a", {"x": ("flu", "good")})])
    with pytest.raises(UserError, match="'flu' is no answer to diagnosis"):
        merge(ratings, QUESTIONS)
