"""The inbox's state: cases, who works on them, first and final answers, and the trail of who did what.

Two pages, or two processes, on one state never answer the same case twice: each step is one transaction that holds
only as long as the case is what the step expects.
"""

import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mpox.errors import UserError
from mpox.referrals.referral import MAP, Referral
from mpox.referrals.refused import RefusedError
from mpox.referrals.schema import open_database, reading, writing
from mpox.stats.decision import OUTCOMES

OPEN, ANSWERING, ANSWERED, ELSEWHERE = "open", "answering", "answered", "elsewhere"
TAKEN, KNOWN = "taken", "known"


class LostError(UserError):
    """Somebody else has the case, or has answered it: one line for the clinician."""


@dataclass(frozen=True)
class Page:
    """A page in a clinician's browser: its random id and the clinician's name or initials."""

    session: str
    name: str


@dataclass(frozen=True)
class Answer:
    """A final answer: the label, the words to the person, and what is sent, the same at every try."""

    label: str
    words: str
    at: str
    outgoing: bytes


class State:
    """The SQLite file of one inbox; `lease` is how many seconds a case is held by who opened it."""

    def __init__(self, path: Path, lease: float = 900) -> None:
        self.path, self.lease = path, lease
        self._refused: set[tuple[str, int, int]] = set()
        open_database(path)

    # ---- what comes in -----------------------------------------------------------------------------------------
    def take(self, referral: Referral, content: bytes, place: str) -> str:
        """Keep a referral as it came; return TAKEN, or KNOWN where it is there already.

        Raises RefusedError where another referral has its id.
        """
        with writing(self.path) as tables:
            old = tables.execute("SELECT digest, place FROM cases WHERE id = ?", (referral.id,)).fetchone()
            if old is not None:
                if old["digest"] != referral.digest:
                    raise RefusedError(f"its id is that of {old['place']}, which says something else")
                return KNOWN
            urgency = OUTCOMES.index(referral.outcome)
            photos = sum(one.kind != MAP for one in referral.pictures)
            tables.execute(
                "INSERT INTO cases (id, digest, place, received, authored, urgency, photos, content) "
                "VALUES (?,?,?,?,?,?,?,?)",
                (referral.id, referral.digest, place, now(), referral.authored.isoformat(), urgency, photos, content),
            )
            note(tables, None, "received", referral.id, place)
        return TAKEN

    def is_seen(self, name: str, size: int, changed: int) -> bool:
        """Return whether a file was looked at as it is now.

        What was refused is looked at once more after each start: the key, the program or its rules may be others.
        """
        with reading(self.path) as tables:
            query = "SELECT refused FROM files WHERE (name, size, changed) = (?,?,?)"
            row = tables.execute(query, (name, size, changed)).fetchone()
            return row is not None and (not row["refused"] or (name, size, changed) in self._refused)

    def saw(self, name: str, size: int, changed: int, sha256: str, refused: str) -> None:
        """Keep that a file was looked at, and why it was refused."""
        key = (name, size, changed)
        with writing(self.path) as tables:
            old = tables.execute("SELECT refused FROM files WHERE (name, size, changed) = (?,?,?)", key).fetchone()
            if old is None or old["refused"] != refused:
                tables.execute("REPLACE INTO files VALUES (?,?,?,?,?,?)", (*key, refused, sha256, now()))
                if refused:
                    note(tables, None, "refused", "", f"{name}: {refused}")
        if refused:
            self._refused.add(key)

    def refused(self) -> list[sqlite3.Row]:
        """Return name, sha256, refused (why) and at of every file that was refused when it was looked at last."""
        query = """SELECT * FROM files one WHERE refused <> ''
                   AND NOT EXISTS (SELECT 1 FROM files WHERE name = one.name AND rowid > one.rowid)
                   ORDER BY at, name"""
        with reading(self.path) as tables:
            return tables.execute(query).fetchall()

    # ---- what is asked -----------------------------------------------------------------------------------------
    def cases(self, order: str = "urgency") -> list[sqlite3.Row]:
        """Return all cases without their content: open ones by urgency, then age (or age alone), then the others."""
        first = "c.urgency, " if order == "urgency" else ""
        query = f"""SELECT c.id, c.place, c.photos, c.received, c.authored, c.state, c.holder, c.holder_name, c.until,
                    a.label, a.clinician, a.at, a.sent, a.trouble
                    FROM cases c LEFT JOIN answers a ON a.id = c.id
                    ORDER BY c.state <> 'open', CASE WHEN c.state = 'open' THEN '' ELSE a.at END DESC,
                    {first} min(c.authored, c.received), c.id"""
        with reading(self.path) as tables:
            return tables.execute(query).fetchall()

    def case(self, number: str) -> sqlite3.Row:
        """Return one case. Raises LostError where there is none."""
        with reading(self.path) as tables:
            return _case(tables, number)

    def is_known(self, number: str, place: str) -> bool:
        """Return whether a referral from there (a Task at the server) is among the cases."""
        with reading(self.path) as tables:
            query = "SELECT 1 FROM cases WHERE (id, place) = (?,?)"
            return tables.execute(query, (number, place)).fetchone() is not None

    def answer_of(self, number: str) -> sqlite3.Row | None:
        """Return the final answer of a case, None without one."""
        with reading(self.path) as tables:
            row: sqlite3.Row | None = tables.execute("SELECT * FROM answers WHERE id = ?", (number,)).fetchone()
            return row

    def first_of(self, number: str, clinician: str) -> str | None:
        """Return the first answer that a clinician gave to a case, None before it."""
        with reading(self.path) as tables:
            return _first(tables, number, clinician)

    def trail(self) -> Iterator[dict[str, Any]]:
        """Yield the audit trail from its beginning."""
        with reading(self.path) as tables:
            yield from map(dict, tables.execute("SELECT * FROM audit ORDER BY n"))

    # ---- what clinicians do ------------------------------------------------------------------------------------
    def claim(self, number: str, page: Page) -> float:
        """Hold a case for a page; return until when (seconds since 1970). Raises LostError where another has it."""
        until = time.time() + self.lease
        with writing(self.path) as tables:
            case = _case(tables, number)
            _check_free(case, page)
            tables.execute(
                "UPDATE cases SET holder = ?, holder_name = ?, until = ? WHERE id = ? AND state = 'open'",
                (page.session, page.name, until, number),
            )
            note(tables, page, "claimed", number, "")
        return until

    def renew(self, number: str, page: Page) -> float:
        """Hold a case longer. Raises LostError where another has it by now."""
        until = time.time() + self.lease
        with writing(self.path) as tables:
            _check_held(tables, number, page)
            tables.execute("UPDATE cases SET until = ? WHERE id = ?", (until, number))
        return until

    def release(self, number: str, page: Page) -> None:
        """Give a case back to the queue, if this page holds it."""
        with writing(self.path) as tables:
            done = tables.execute(
                "UPDATE cases SET holder = NULL, holder_name = NULL, until = NULL "
                "WHERE id = ? AND holder = ? AND state = 'open'",
                (number, page.session),
            )
            if done.rowcount:
                note(tables, page, "released", number, "")

    def log(self, number: str, page: Page, what: str, detail: str = "") -> None:
        """Add a line to the audit trail."""
        with writing(self.path) as tables:
            note(tables, page, what, number, detail)

    def first(self, number: str, page: Page, label: str) -> None:
        """Lock a clinician's first answer. Raises LostError without the case, and for another first answer."""
        with writing(self.path) as tables:
            _check_held(tables, number, page)
            if (old := _first(tables, number, page.name)) is not None:
                if old != label:
                    raise LostError(f"your first answer is locked: {old}")
                return
            tables.execute("INSERT INTO reads VALUES (?,?,?,?)", (number, page.name, label, now()))
            note(tables, page, "first answer", number, label)

    def answer(self, number: str, page: Page, answer: Answer, *, blind: bool) -> None:
        """Keep the final answer, to be sent; raises LostError, with nothing kept, unless this page holds the case.

        `blind`: the clinician's first answer must be locked before.
        """
        with writing(self.path) as tables:
            _check_held(tables, number, page)
            if blind and _first(tables, number, page.name) is None:
                raise LostError("give your first answer before the final one")
            tables.execute(
                "INSERT INTO answers (id, label, words, clinician, blind, at, outgoing) VALUES (?,?,?,?,?,?,?)",
                (number, answer.label, answer.words, page.name, blind, answer.at, answer.outgoing),
            )
            tables.execute("UPDATE cases SET state = 'answering' WHERE id = ? AND state = 'open'", (number,))
            note(tables, page, "answered", number, answer.label)

    # ---- what goes out -----------------------------------------------------------------------------------------
    def unsent(self) -> list[sqlite3.Row]:
        """Return answers (with the `place` of their case) that are not known to have arrived."""
        query = "SELECT a.*, c.place FROM answers a JOIN cases c ON c.id = a.id WHERE c.state = 'answering'"
        with reading(self.path) as tables:
            return tables.execute(f"{query} ORDER BY a.at").fetchall()

    def sent(self, number: str, where: str) -> None:
        """Keep that an answer has arrived."""
        self._close(number, ANSWERED, now(), "", "sent", where)

    def not_needed(self, number: str, where: str, why: str) -> None:
        """Keep that an answer is not sent: another clinic's was there first, or `why`."""
        self._close(number, ELSEWHERE, None, why, "answered elsewhere", f"{where} ({why})" if why else where)

    def closed_there(self, number: str, where: str, status: str) -> None:
        """Keep that an open case needs no answer: others have closed its request at the server."""
        self._close(number, ELSEWHERE, None, "", "closed elsewhere", f"{where} ({status})", was=OPEN)

    def _close(
        self, number: str, state: str, sent: str | None, trouble: str, what: str, detail: str, was: str = ANSWERING
    ) -> None:
        with writing(self.path) as tables:
            done = tables.execute(
                "UPDATE cases SET state = ?, holder = NULL, until = NULL WHERE id = ? AND state = ?",
                (state, number, was),
            )
            if done.rowcount:
                tables.execute("UPDATE answers SET sent = ?, trouble = ? WHERE id = ?", (sent, trouble, number))
                note(tables, None, what, number, detail)

    def troubled(self, number: str, why: str) -> None:
        """Keep why an answer could not be sent; it is tried again."""
        with writing(self.path) as tables:
            tables.execute("UPDATE answers SET trouble = ? WHERE id = ?", (why, number))


def note(tables: sqlite3.Connection, page: Page | None, what: str, number: str, detail: str) -> None:
    """Add a line to the audit trail, within the transaction of what it tells."""
    who, session = (page.name, page.session) if page else ("", "")
    tables.execute(
        "INSERT INTO audit (at, who, session, what, id, detail) VALUES (?,?,?,?,?,?)",
        (now(), who, session, what, number, detail),
    )


def now() -> str:
    """Return the time in UTC to the millisecond, ISO 8601."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _case(tables: sqlite3.Connection, number: str) -> sqlite3.Row:
    row: sqlite3.Row | None = tables.execute("SELECT * FROM cases WHERE id = ?", (number,)).fetchone()
    if row is None:
        raise LostError(f"there is no case {number}")
    return row


def _first(tables: sqlite3.Connection, number: str, clinician: str) -> str | None:
    row = tables.execute("SELECT label FROM reads WHERE id = ? AND clinician = ?", (number, clinician)).fetchone()
    return None if row is None else str(row["label"])


def _check_free(case: sqlite3.Row, page: Page) -> None:
    if case["state"] != OPEN:
        raise LostError(f"this case is {'closed at the server' if case['state'] == ELSEWHERE else 'answered'} already")
    if case["holder"] not in (None, page.session) and case["until"] > time.time():
        until = datetime.fromtimestamp(case["until"]).astimezone().strftime("%H:%M")
        raise LostError(f"{case['holder_name']} works on this case, until {until} at least")


def _check_held(tables: sqlite3.Connection, number: str, page: Page) -> None:
    """Whoever opened it last has it; a lease that ran out does no harm as long as nobody else has opened it."""
    case = _case(tables, number)
    _check_free(case, page)
    if case["holder"] != page.session:
        raise LostError("you do not hold this case any more: open it again")
