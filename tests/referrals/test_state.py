"""The inbox's state: leases, locked first answers, an audit trail that only grows, and two processes at once."""

import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from made_referral import referral

from mpox.referrals.referral import read_referral
from mpox.referrals.state import Answer, LostError, Page, State, now

WORKER = Path(__file__).with_name("clinic_worker.py")
ANN, BOB = Page("session-of-ann-0123456789", "Ann"), Page("session-of-bob-0123456789", "Bob")


def filled(path: Path, count: int, lease: float = 900) -> State:
    state = State(path, lease)
    for seed in range(count):
        state.take(read_referral(referral(seed, side=32)), b"{}", f"{seed}.fhir.json")
    return state


def test_a_case_is_held_until_it_is_given_back_or_its_time_is_up(tmp_path: Path) -> None:
    state = filled(tmp_path / "state.sqlite", 1)
    (case,) = state.cases()
    state.claim(case["id"], ANN)
    with pytest.raises(LostError, match="Ann works on this case, until"):
        state.claim(case["id"], BOB)
    with pytest.raises(LostError, match="Ann works on this case"):
        state.answer(case["id"], BOB, Answer("mpox", "", now(), b""), blind=False)
    state.release(case["id"], BOB)  # which is not Bob's to give back
    with pytest.raises(LostError):
        state.claim(case["id"], BOB)
    state.release(case["id"], ANN)
    state.lease = 0.05
    state.claim(case["id"], BOB)
    time.sleep(0.1)
    state.claim(case["id"], ANN)  # Bob's time is up
    time.sleep(0.1)
    with pytest.raises(LostError, match="you do not hold this case any more"):
        state.first(case["id"], BOB, "mpox")
    state.first(case["id"], ANN, "acne")  # hers has run out, too, but nobody else has opened it
    with pytest.raises(LostError, match="locked: acne"):
        state.first(case["id"], ANN, "mpox")
    state.answer(case["id"], ANN, Answer("mpox", "", now(), b""), blind=True)
    for page in (ANN, BOB):
        with pytest.raises(LostError, match="answered already"):
            state.claim(case["id"], page)


def test_a_final_answer_waits_for_the_first_one(tmp_path: Path) -> None:
    state = filled(tmp_path / "state.sqlite", 1)
    number = state.cases()[0]["id"]
    state.claim(number, ANN)
    with pytest.raises(LostError, match="give your first answer"):
        state.answer(number, ANN, Answer("mpox", "", now(), b""), blind=True)
    assert state.answer_of(number) is None
    state.answer(number, ANN, Answer("mpox", "", now(), b""), blind=False)


def test_the_audit_trail_only_grows(tmp_path: Path) -> None:
    path = tmp_path / "state.sqlite"
    state = filled(path, 1)
    number = state.cases()[0]["id"]
    state.claim(number, ANN)
    state.first(number, ANN, "mpox")
    with sqlite3.connect(path) as tables:
        for change in ("DELETE FROM audit", "UPDATE audit SET who = 'Bob'"):
            with pytest.raises(sqlite3.DatabaseError, match="append-only"):
                tables.execute(change)
    noted = [(line["who"], line["what"], line["id"], line["detail"]) for line in state.trail()]
    assert noted == [
        ("", "received", number, "0.fhir.json"), ("Ann", "claimed", number, ""), ("Ann", "first answer", number, "mpox")
    ]  # fmt: skip


def test_two_processes_never_answer_one_case_twice(tmp_path: Path) -> None:
    """20 cases, all of which both claim and answer at the same time, with leases that run out at once."""
    path, count = tmp_path / "state.sqlite", 20
    state = filled(path, count)
    both = [
        subprocess.Popen(
            [sys.executable, str(WORKER), "race", str(path), name, "3"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("Ann", "Bob")
    ]
    for one in both:
        assert one.stdout is not None and one.stdout.readline() == "ready\n"
    for one in both:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    won = [one.communicate(timeout=120)[0].split() for one in both]
    assert [one.returncode for one in both] == [0, 0]
    assert sorted(won[0] + won[1]) == sorted(case["id"] for case in state.cases())  # each once
    for name, numbers in zip(("Ann", "Bob"), won, strict=True):
        for number in numbers:
            given = state.answer_of(number)
            assert given is not None and (given["clinician"], given["label"]) == (name, name)
    noted = Counter(line["id"] for line in state.trail() if line["what"] == "answered")
    assert set(noted.values()) == {1} and len(noted) == count
