"""What the web app makes, as its own code makes it, goes through the clinic and comes back as an answer it reads."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyhpke", reason="pyhpke is not installed: pip install mpox[clinic]")
pytest.importorskip("fhir.resources", reason="fhir.resources is not installed: pip install mpox[clinic]")

from test_referral import Made

from mpox.referrals.desk import Desk
from mpox.referrals.state import Page, State


def test_the_clinic_takes_and_answers_what_the_app_makes(tmp_path: Path) -> None:
    made = Made(tmp_path)
    inbox = tmp_path / "in"
    inbox.mkdir()
    for one, ending in zip(made.all, (".mpox", ".mpox.txt", ".fhir.json.txt"), strict=True):
        path = inbox / f"{one['id']}{ending}"
        path.write_text(json.dumps(one["bundle" if "fhir" in ending else "file"]))
        os.utime(path, (1, 1))
    desk, page = (
        Desk(State(tmp_path / "state.sqlite"), inbox, made.clinic.key, inbox / "answers"),
        Page("0" * 16, "Dr. N."),
    )
    assert desk.look() == [] and {case["id"] for case in desk.state.cases()} == {one["id"] for one in made.all}
    for one in made.all:
        shown = desk.open(one["id"], page)
        assert "not_ruled_out" not in str(shown) and "lite0" not in str(shown)  # titles of maps name the result, too
        result = desk.first(one["id"], page, "cannot tell")["result"]
        assert (result["outcome"], result["model"]["name"]) == ("not_ruled_out", "lite0")
        assert dict(result["probabilities"]) == {"chickenpox": 0.5, "healthy": 0.1, "mpox": 0.4}
        desk.answer(one["id"], page, "mpox", "Come in.\n<b>Today.</b>")
    desk.look()
    answers = sorted((inbox / "answers").iterdir())
    read: list[dict[str, Any]] = made.read([path.read_text() for path in answers])
    assert [one["id"] for one in read] == sorted(one["id"] for one in made.all)
    for one in read:
        read_here = {name: value for name, value in one["answer"].items() if name != "issued"}
        assert read_here == {"by": "Dr. N.", "label": "mpox", "mpox": True, "text": "Come in.\n<b>Today.</b>"}
