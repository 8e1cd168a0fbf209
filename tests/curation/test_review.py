import base64
import io
import json
import re
from pathlib import Path

import pytest
from audited import BROKEN, ODD
from PIL import Image
from stowaways import stowaways

from mpox.curation.findings import ACTIONS, Audit
from mpox.curation.review_page import WORDS, write_page


def embedded(page: str) -> dict:  # type: ignore[type-arg]
    found = re.search(r'<script type="application/json" id="audit">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return json.loads(found[1])  # type: ignore[no-any-return]


def test_page_holds_every_photo_and_loads_nothing(small_audit: Audit, tmp_path: Path) -> None:
    size = write_page(small_audit, tmp_path / "review.html", title="a <set>", thumbnail=64)
    page = (tmp_path / "review.html").read_text(encoding="utf-8")
    assert size == len(page.encode())
    assert "a &lt;set&gt;" in page
    assert "not" in page and "diagnosis" in page
    assert not re.findall(r'(?:src|href)="(?!data:)[^"]+"|url\(|https?://|@import', page)
    content = embedded(page)
    assert [photo["id"] for photo in content["photos"]] == small_audit.manifest["photo_id"].tolist()
    by_id = {photo["id"]: photo for photo in content["photos"]}
    assert by_id[ODD]["findings"] == [["blurred", "sharpness 3 < 10", ""]]
    assert by_id[BROKEN]["thumb"] == ""
    thumbnail = Image.open(io.BytesIO(base64.b64decode(by_id[ODD]["thumb"].partition(",")[2])))
    assert thumbnail.size == (40, 64)  # upright
    assert not thumbnail.getexif()


def test_the_page_names_no_home_folder(
    small_audit: Audit, audited_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside the photos it links them; outside of the home folder that holds them it would spell that out."""
    write_page(small_audit, audited_photos.parent / "audit" / "review.html", title="x")
    assert embedded((audited_photos.parent / "audit" / "review.html").read_text())["root"] == "../photos/"
    monkeypatch.setenv("HOME", str(audited_photos.parent))
    write_page(small_audit, tmp_path / "review.html", title="x")
    assert embedded((tmp_path / "review.html").read_text())["root"] == ""
    assert not stowaways(tmp_path, audited_photos)


def test_a_file_name_cannot_break_out_of_the_script(small_audit: Audit, tmp_path: Path) -> None:
    rows = small_audit.findings
    rows.loc[rows["photo_id"] == ODD, "evidence"] = "</script><script>alert(1)</script>"
    write_page(small_audit, tmp_path / "review.html", title="x")
    page = (tmp_path / "review.html").read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "</script><script>alert(1)</script>" in str(embedded(page))


def test_every_kind_of_finding_about_photos_has_words() -> None:
    assert WORDS.keys() == ACTIONS.keys() - {"imbalance"}
