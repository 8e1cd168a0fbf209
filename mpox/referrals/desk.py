"""What a clinician's page asks and is given; the model's result leaves here only after the clinician's own answer."""

import threading
import unicodedata
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mpox.console import visible
from mpox.errors import UserError, reason_of
from mpox.key_file import LONGEST_NAME
from mpox.referrals.answer import choices, make_answer
from mpox.referrals.fhir_server import FhirServer
from mpox.referrals.inbox import look, opened
from mpox.referrals.keys import ClinicKey
from mpox.referrals.referral import LONGEST, MAP, Referral
from mpox.referrals.refused import RefusedError
from mpox.referrals.schema import StateError
from mpox.referrals.sending import send_all
from mpox.referrals.state import OPEN, LostError, Page, State
from mpox.stats.decision import OUTCOMES

# Referrals that are kept opened: the photos of a page are asked for one by one.
KEPT_OPEN = 4
# Answered cases that the list shows, the last first.
CLOSED_SHOWN = 100


class Desk:
    """One inbox at work: `way` is where answers go, `blind` whether the model's result waits for a first answer."""

    def __init__(
        self,
        state: State,
        inbox: Path | FhirServer,
        key: ClinicKey | None,
        way: Path | FhirServer,
        *,
        blind: bool = True,
        order: str = "urgency",
    ) -> None:
        self.state, self.inbox, self.key, self.way = state, inbox, key, way
        self.blind, self.order = blind, order
        self.troubles: list[str] = []
        self.others = 0
        self._opened: OrderedDict[str, tuple[Referral, bytes | None]] = OrderedDict()
        self._lock = threading.Lock()

    def look(self) -> list[str]:
        """Take what is new and send what is unsent; return a line for each referral that is refused now."""
        troubles, refused = [], []
        try:
            found = look(self.state, self.inbox, self.key)
            troubles, refused, self.others = found.troubles, found.refused, found.others
        except OSError as error:
            troubles.append(f"the inbox cannot be read ({reason_of(error)})")
        except StateError as error:
            self.troubles = [str(error)]
            return refused
        self.troubles = troubles + send_all(self.state, self.way)
        return refused

    def queue(self, session: str) -> dict[str, Any]:
        """Return what the list shows a page: cases in their order, without the model's results if `blind`."""
        now = datetime.now(UTC).timestamp()
        rows = []
        cases = self.state.cases(self.order)
        closed = sum(case["state"] != OPEN for case in cases)
        for case in cases[: len(cases) - closed + CLOSED_SHOWN]:
            row = {name: case[name] for name in ("id", "authored", "photos", "state", "clinician", "label", "trouble")}
            held = case["state"] == OPEN and case["holder"] is not None and case["until"] > now
            row |= {"holder": case["holder_name"] if held else None, "until": case["until"] if held else None}
            row["own"] = held and case["holder"] == session
            rows.append(row)
        refused = [f"{one['name']}: {one['refused']}" for one in self.state.refused()]
        return {"cases": rows, "closed": closed, "refused": refused, "others": self.others, "troubles": self.troubles}

    def open(self, number: str, page: Page) -> dict[str, Any]:
        """Hold a case for a page and return what it shows. Raises LostError, RefusedError."""
        self.referral(number)
        until = self.state.claim(number, page)
        self.state.log(number, page, "saw the photos")
        return self._shown(number, page, until)

    def first(self, number: str, page: Page, label: str) -> dict[str, Any]:
        """Lock the first answer; return what the page shows from then on."""
        self._check_label(number, label)
        self.state.first(number, page, label)
        return self._shown(number, page, self.state.renew(number, page))

    def renew(self, number: str, page: Page) -> dict[str, Any]:
        """Hold a case longer."""
        return {"until": self.state.renew(number, page)}

    def release(self, number: str, page: Page) -> dict[str, Any]:
        """Give a case back to the queue."""
        self.state.release(number, page)
        return {}

    def answer(self, number: str, page: Page, label: str, words: str) -> dict[str, Any]:
        """Keep the final answer; it is sent by the next `look`. Raises LostError with nothing kept."""
        words = words.strip()
        if len(words) > LONGEST or any(
            unicodedata.category(one) in ("Cc", "Cs") and one not in "\n\t" for one in words
        ):
            raise UserError(f"the text to the person has more than {LONGEST} letters, or signs that are no letters")
        self._check_label(number, label)
        referral, reply_key = self.referral(number)
        place = self.state.case(number)["place"]
        answer = make_answer(referral, label, words, page.name, place=place, reply_key=reply_key)
        self.state.answer(number, page, answer, blind=self.blind)
        return {}

    def picture(self, number: str, place: int, session: str) -> tuple[str, bytes]:
        """Return type and bytes of a picture for the page that holds the case; of a map, after the first answer."""
        case = self.state.case(number)
        if case["state"] != OPEN or case["holder"] != session:
            raise LostError("you do not hold this case any more: open it again")
        referral, _ = self.referral(number)
        if not 0 <= place < len(referral.pictures):
            raise LostError("there is no such picture")
        picture = referral.pictures[place]
        if picture.kind == MAP and not self._may_see_result(number, case["holder_name"]):
            raise LostError("the map is shown after your first answer")
        return picture.mime, picture.content

    def referral(self, number: str) -> tuple[Referral, bytes | None]:
        """Return a referral, opened, and the key of its reply."""
        with self._lock:
            if number not in self._opened:
                case = self.state.case(number)
                try:
                    self._opened[number] = opened(case["content"], case["place"], self.key)
                except RefusedError as error:  # another key than when it came in
                    raise LostError(f"this case cannot be opened: {error}") from error
                while len(self._opened) > KEPT_OPEN:
                    self._opened.popitem(last=False)
            return self._opened[number]

    def _may_see_result(self, number: str, name: str) -> bool:
        return not self.blind or self.state.first_of(number, name) is not None

    def _check_label(self, number: str, label: str) -> None:
        if label not in choices(self.referral(number)[0]):
            raise UserError(f"'{visible(label)[:60]}' is none of this case's answers")

    def _shown(self, number: str, page: Page, until: float) -> dict[str, Any]:
        referral, _ = self.referral(number)
        first = self.state.first_of(number, page.name)
        result = None
        if self._may_see_result(number, page.name):
            self.state.log(number, page, "saw the model's result")
            result = _result(referral)
        pictures = [
            {"n": n, "kind": one.kind, "title": one.title, "width": one.width, "height": one.height, "of": one.of}
            for n, one in enumerate(referral.pictures)
            if result is not None or one.kind != MAP
        ]
        return {
            "id": number,
            "authored": referral.authored.isoformat(),
            "answers": referral.answers,
            "consent": referral.consent,
            "choices": choices(referral),
            "pictures": pictures,
            "first": first,
            "result": result,
            "until": until,
        }


def page_of(session: object, name: object) -> Page:
    """Return the page that a request names. Raises UserError for what is no session or no name."""
    text = unicodedata.normalize("NFC", " ".join(str(name).split()))
    if not text or len(text) > LONGEST_NAME or not text.isprintable():
        raise UserError(f"give your name or initials, at most {LONGEST_NAME} letters")
    if not isinstance(session, str) or not 16 <= len(session) <= 64 or not session.replace("-", "").isalnum():
        raise UserError("the page has no session: load it again")
    return Page(session, text)


def _result(referral: Referral) -> dict[str, Any]:
    return {
        "outcome": referral.outcome,
        "urgency": OUTCOMES.index(referral.outcome),
        "probabilities": sorted(referral.probabilities.items(), key=lambda one: -one[1]),
        "threshold": referral.threshold,
        "model": vars(referral.model),
    }
