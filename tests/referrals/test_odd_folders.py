"""Folders and states that are odd, or broken: what was mended comes in, and what cannot be read stops no other."""

import os
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from made_referral import id_of, referral, write
from test_hostile import settled

from mpox.errors import UserError
from mpox.referrals import inbox as module
from mpox.referrals.desk import Desk
from mpox.referrals.inbox import look
from mpox.referrals.keys import ClinicKey, make_keys, read_key
from mpox.referrals.state import Page, State

PAGE = Page("a-page-of-a-browser", "Dr. N.")


def put(folder: Path, seed: int, public: Any = None) -> Path:
    path, _ = write(folder, referral(seed, side=32), public)
    settled(folder)
    return path


def test_what_was_refused_for_want_of_a_key_comes_in_with_it(
    key: ClinicKey, public: dict[str, Any], tmp_path: Path
) -> None:
    folder, path = tmp_path / "in", tmp_path / "state.sqlite"
    put(folder, 1, public)
    assert "give key=" in look(State(path), folder, None).refused[0]
    make_keys(tmp_path / "other", "Another")
    wrong = read_key(tmp_path / "other" / "clinic.key.json")
    for _ in range(2):  # started twice with another clinic's key
        state = State(path)
        assert "not for ours" in look(state, folder, wrong).refused[0]
        assert look(state, folder, wrong).refused == []
    state = State(path)
    assert look(state, folder, key).new == 1 and state.refused() == []
    assert look(State(path), folder, key).new == 0
    said = [line["detail"].partition(": ")[2][:15] for line in state.trail() if line["what"] == "refused"]
    assert said == ["sealed for the "] * 2  # once a reason


def test_the_list_of_the_refused_drops_what_came_in_after_all(key: ClinicKey, tmp_path: Path) -> None:
    """A file that was copied slowly, or with a mark that some editors write before JSON."""
    folder, state = tmp_path / "in", State(tmp_path / "state.sqlite")
    path = put(folder, 1)
    whole = path.read_bytes()
    path.write_bytes(whole[:500])
    settled(folder)
    assert len(look(state, folder, key).refused) == len(state.refused()) == 1
    path.write_bytes(b"\xef\xbb\xbf" + whole)
    settled(folder)
    assert look(state, folder, key).new == 1 and state.refused() == []
    assert (folder / "refused" / "refused.csv").read_text() == "at,file,sha256,why\n"


def test_no_name_and_no_clock_keeps_a_referral_out(key: ClinicKey, tmp_path: Path) -> None:
    folder, state = tmp_path / "in", State(tmp_path / "state.sqlite")
    names = [
        "A.MPOX", "B.FHIR.JSON", "c.Json.txt", "=cmd|' '!A1.json", "\u202egpj.json", "two\nlines.json",
        os.fsdecode(b"\xff\xfe.json"), f"{'x' * 245}.json",
    ]  # fmt: skip
    for seed, name in enumerate(names):
        path = put(folder, seed)
        path = path.rename(folder / name)
    ahead = time.time() + 10 * 365 * 86400  # as a machine whose clock is wrong has written it
    os.utime(folder / names[0], (ahead, ahead))
    found = look(state, folder, key)
    assert (found.new, found.refused, found.troubles) == (len(names), [], [])
    assert all("\n" not in case["place"] for case in state.cases())


def test_a_file_that_cannot_be_read_now_is_tried_again_and_stops_no_other(
    key: ClinicKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, state = tmp_path / "in", State(tmp_path / "state.sqlite")
    first, second, gone = put(folder, 1), put(folder, 2), put(folder, 3)
    real = module.open_regular

    def failing(path: Path) -> Any:
        if path == first:
            raise OSError(5, "Input/output error")
        if path == gone:
            gone.unlink()
        return real(path)

    monkeypatch.setattr(module, "open_regular", failing)
    found = look(state, folder, key)
    assert (found.new, found.refused) == (1, []) and f"{first.name} cannot be read yet" in found.troubles[0]
    assert len(found.troubles) == 1 and [case["place"] for case in state.cases()] == [second.name]
    monkeypatch.undo()
    assert look(state, folder, key).new == 1


@pytest.mark.parametrize("content", [b"at,file\r\n1,M\xfcller", b"\xef\xbb\xbfat", None])
def test_a_list_of_the_refused_that_others_changed_stops_nothing(
    content: bytes | None, key: ClinicKey, tmp_path: Path
) -> None:
    """Saved by a spreadsheet; or a folder stands in its place, where nothing can be written."""
    folder = tmp_path / "in"
    desk = Desk(State(tmp_path / "state.sqlite"), folder, key, folder / "answers", blind=False)
    number = id_of(referral(1, side=32))
    put(folder, 1)
    (folder / "bad.json").write_text("{")
    settled(folder)
    place = folder / "refused" / "refused.csv"
    place.parent.mkdir()
    (place.write_bytes if content else lambda _: place.mkdir())(content or b"")
    desk.look()
    desk.open(number, PAGE)
    desk.answer(number, PAGE, "acne", "")
    desk.look()
    assert (folder / "answers" / f"{number}.answer.fhir.json").is_file()
    assert desk.troubles == [] if content else "refused.csv cannot be written" in desk.troubles[0]


def test_a_state_that_is_held_moved_or_of_another_version_is_one_line(
    key: ClinicKey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpox.referrals.schema.BUSY", 0.05)
    folder, path = tmp_path / "in", tmp_path / "state #1?.sqlite"
    put(folder, 1)
    desk = Desk(State(path), folder, key, folder / "answers")
    with sqlite3.connect(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        desk.look()
        assert len(desk.troubles) == 1 and "another program holds it open" in desk.troubles[0]
        with pytest.raises(UserError, match="end that program"):
            State(path)
    other.close()
    moved = path.rename(tmp_path / "moved.sqlite")
    desk.look()
    assert "put it back" in desk.troubles[0] and not path.exists()
    moved.rename(path)
    desk.look()
    assert desk.troubles == [] and len(desk.state.cases()) == 1
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA user_version = 2")
    other.close()
    with pytest.raises(UserError, match="of version 2, this program's is 1: update"):
        State(path)
    with pytest.raises(UserError, match="cannot be made"):
        State(folder / "bad" / ("x" * 300))


def opened_case(key: ClinicKey, place: Path) -> tuple[Path, str, Desk]:
    """An inbox with one case, its number, and a desk at which it is open."""
    folder, number = place / "in", id_of(referral(1, side=32))
    put(folder, 1)
    desk = Desk(State(place / "state.sqlite"), folder, key, folder / "answers", blind=False)
    desk.look()
    desk.open(number, PAGE)
    return folder, number, desk


def test_half_a_letter_is_no_text_to_a_person(key: ClinicKey, tmp_path: Path) -> None:
    _, number, desk = opened_case(key, tmp_path)
    with pytest.raises(UserError, match="signs that are no letters"):
        desk.answer(number, PAGE, "acne", "Please come in. \ud83d")
    desk.answer(number, PAGE, "acne", "Please come in. \U0001f600")


def test_an_inbox_that_was_moved_away_is_not_made_anew_by_an_answer(key: ClinicKey, tmp_path: Path) -> None:
    """Else it would look empty from then on, and answers would lie where nobody looks."""
    folder, number, desk = opened_case(key, tmp_path)
    desk.answer(number, PAGE, "acne", "")
    folder.rename(tmp_path / "away")
    desk.look()
    assert not folder.exists() and "the inbox cannot be read" in desk.troubles[0]
    assert "is not sent yet: cannot be written" in desk.troubles[1]
    (tmp_path / "away").rename(folder)
    desk.look()
    assert desk.troubles == [] and (folder / "answers" / f"{number}.answer.fhir.json").is_file()


@pytest.mark.parametrize("time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"])
def test_a_time_that_there_is_not_is_one_line(time: str, key: ClinicKey, tmp_path: Path) -> None:
    write(tmp_path / "in", referral(1, side=32, authored=time))
    settled(tmp_path / "in")
    assert "its Task has no time" in look(State(tmp_path / "state.sqlite"), tmp_path / "in", key).refused[0]
