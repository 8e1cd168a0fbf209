"""The command as typed: the page it prints, an answer through a SIGKILL, two processes on one inbox."""

import signal
from pathlib import Path
from typing import Any

import pytest
from clinic_in_browser import Clinic
from made_referral import id_of, referral, write
from selenium.webdriver.support.wait import WebDriverWait
from test_answers import check_answer, opened_by_the_app
from test_clinic_page import ANN, BOB
from test_hostile import settled

from mpox.referrals.keys import PRIVATE

pytestmark = pytest.mark.slow


def until(holds: Any) -> None:
    WebDriverWait(None, 30, 0.1).until(lambda _: holds())  # type: ignore[type-var]


def test_an_answer_survives_the_process_and_two_processes_share_an_inbox(
    keys: Path, public: dict[str, Any], tmp_path: Path
) -> None:
    inbox, bundle = tmp_path / "in", referral(1, side=64)
    reply = write(inbox, bundle, public)[1]
    settled(inbox)
    given, number = (f"inbox={inbox}", f"key={keys / PRIVATE}"), id_of(bundle)
    (inbox / "answers").write_text("in the way")  # the answer cannot leave yet
    first, second = Clinic(*given), Clinic(*given)
    for clinic in (first, second):
        until(lambda clinic=clinic: clinic.waiting() == [number])
    assert first.post("open", number, ANN).ok
    assert second.post("open", number, BOB).json()["error"].startswith("Ann works on this case")
    assert first.post("first", number, ANN, label="acne").ok
    assert first.post("answer", number, ANN, label="mpox", words="Please come in.").ok
    assert first.end(signal.SIGKILL) == -signal.SIGKILL
    assert second.post("open", number, BOB).json()["error"] == "this case is answered already"
    assert second.end(signal.SIGTERM) == 128 + signal.SIGTERM
    (inbox / "answers").unlink()
    third = Clinic(*given)
    path = inbox / "answers" / f"{number}.answer.mpox"
    until(path.exists)
    check_answer(opened_by_the_app(path, reply), bundle, "mpox", "Please come in.", "Ann")
    assert third.end(signal.SIGINT) == 128 + signal.SIGINT
