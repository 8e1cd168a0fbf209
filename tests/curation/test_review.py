import base64
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from audited import BROKEN, ODD
from PIL import Image
from stowaways import stowaways

from mpox.curation.curated import apply_decisions
from mpox.curation.decisions import DECISION_COLUMNS
from mpox.curation.findings import Audit, findings_table
from mpox.curation.kinds import KINDS
from mpox.curation.review_page import write_page


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


def test_sheets_say_what_the_audit_suggests(small_audit: Audit, tmp_path: Path) -> None:
    write_page(small_audit, tmp_path / "review.html", title="x")
    hints = {kind["kind"]: kind["hint"] for kind in embedded((tmp_path / "review.html").read_text("utf-8"))["kinds"]}
    assert hints.keys() == {"undecodable", "label_conflict", "exact_duplicate", "blurred"}
    assert hints["blurred"].endswith("The audit suggests: review.")
    assert all(kind.title and kind.hint and (kind.check is None) == (not kind.evidence) for kind in KINDS.values())


def test_what_a_kind_suggests_is_said_and_done(
    small_audit: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its entry alone changes the page and what is dropped; of one picture the last photo stays."""
    ids = small_audit.manifest["photo_id"][lambda ids: ids.str.contains("healthy")].tolist()[:3]
    rows = [
        {"photo_id": one, "kind": "near_duplicate", "evidence": "in place", "score": 0.9, "other": other}
        for one, other in ((ids[0], ids[1]), (ids[1], ids[0]), (ids[2], ids[1]))
    ]
    for action, gone in (("group", set()), ("drop", {ids[0], ids[2]})):
        monkeypatch.setitem(KINDS, "near_duplicate", replace(KINDS["near_duplicate"], action=action))
        audit = replace(small_audit, findings=findings_table(rows))
        write_page(audit, tmp_path / "review.html", title="x")
        (kind,) = embedded((tmp_path / "review.html").read_text("utf-8"))["kinds"]
        assert kind["hint"].endswith(f"The audit suggests: {action}.")
        nobody = pd.DataFrame(columns=list(DECISION_COLUMNS), dtype=str)
        done = apply_decisions(audit, nobody, undecided="suggested", conflicts="keep").manifest.set_index("photo_id")
        assert set(done.index[done["decision"] == "suggested"]) == gone
        assert not done.loc[list(gone), "keep"].any() and done.loc[ids[1], "keep"]
        assert (done.loc[list(gone), "reason_kind"] == "near_duplicate").all()
        assert done.loc[list(gone), "reason_other"].isin(ids).all()
