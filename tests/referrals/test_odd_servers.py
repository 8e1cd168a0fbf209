"""FHIR servers that are odd, or broken: no referral is lost, doubled or shown wrong, and one line says what is so."""

import copy
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from made_referral import id_of, referral
from odd_server import Asked, OddServer, Reply, outcome, searchset

from mpox.errors import UserError
from mpox.referrals.desk import Desk
from mpox.referrals.export import write_labels
from mpox.referrals.fhir_server import FhirServer
from mpox.referrals.state import LostError, Page, State

PAGE = Page("a-page-of-a-browser", "Dr. N.")
SEARCH = "/r4/Task?"


@pytest.fixture
def odd() -> Iterator[OddServer]:
    server = OddServer()
    yield server
    server.stop()


def clinic(odd: OddServer, folder: Path, name: str = "state", token: str | None = None) -> Desk:
    server = FhirServer(odd.url, token)
    return Desk(State(folder / f"{name}.sqlite"), server, None, server)


def asked(odd: OddServer, *seeds: int) -> list[str]:
    """Referrals at the server; their ids."""
    for seed in seeds:
        odd.put(referral(seed, side=32))
    return [id_of(referral(seed, side=32)) for seed in seeds]


def ids(desk: Desk) -> set[str]:
    return {case["id"] for case in desk.state.cases()}


def states(desk: Desk) -> dict[str, str]:
    return {case["id"]: case["state"] for case in desk.state.cases()}


def answer(desk: Desk, number: str, label: str = "acne") -> None:
    desk.open(number, PAGE)
    desk.first(number, PAGE, label)
    desk.answer(number, PAGE, label, "")


def looks(desk: Desk) -> str:
    """One look at the inbox: the line of its one trouble, "" without."""
    desk.look()
    assert len(desk.troubles) <= 1 and "\n" not in "".join(desk.troubles)
    return "".join(desk.troubles)


@pytest.mark.parametrize("shape", ["/r4?page=2", "?page=2", "{base}?page=2", "{base}/Task?page=2"])
def test_pages_are_followed_however_the_server_writes_their_links(shape: str, odd: OddServer, tmp_path: Path) -> None:
    numbers = asked(odd, 1, 2)
    first, second = odd.of("Task")
    link = {"relation": "next", "url": shape.format(base=odd.url.rstrip("/"))}

    def paged(request: Asked, done: Any) -> Reply:
        if "page=2" in request.path:
            return Reply(body=searchset(first, second))  # and one of them a second time
        return Reply(body=searchset(first, link=[link])) if request.path.startswith(SEARCH) else done()

    odd.odd = paged
    desk = clinic(odd, tmp_path)
    assert looks(desk) == "" and ids(desk) == set(numbers)


@pytest.mark.parametrize(
    "links",
    [[{"relation": "next", "url": "http://127.0.0.1:9/r4/Task?page=2"}], [{"relation": "next", "url": "//x/r4"}],
     [{"relation": "next", "url": "http://[/"}], [{"relation": "next", "url": "Task?status=requested&_count=100"}]],
)  # fmt: skip
def test_a_page_elsewhere_or_in_a_circle_is_said(links: list[Any], odd: OddServer, tmp_path: Path) -> None:
    (number,) = asked(odd, 1)
    odd.odd = lambda request, done: (
        Reply(body=searchset(*odd.of("Task"), link=links)) if request.path.startswith(SEARCH) else done()
    )
    desk = clinic(odd, tmp_path)
    said = looks(desk)
    assert ("another address" in said or "circle" in said) and ids(desk) == {number}
    assert len(odd.asked) < 20


FOREIGN: list[Any] = [
    None, 7, "x", {"resourceType": "Task"}, outcome("some were left out"), {"resourceType": "Task", "identifier": "x"},
    {"resourceType": "Task", "status": "requested", "identifier": [None, {"system": 1}], "input": {"type": "x"}},
    {"resourceType": "Task", "status": "requested", "identifier": {"value": []}, "input": [{"type": [None]}]},
]  # fmt: skip


def test_what_is_none_of_the_apps_stops_nothing(odd: OddServer, tmp_path: Path) -> None:
    """Tasks of other programs, of any shape; and those that are closed, where a server leaves out the status."""
    number, *others = asked(odd, 1, 2, 3, 4)
    tasks = odd.of("Task")
    for task, status in zip(tasks[1:], ("cancelled", "completed", "in-progress"), strict=True):
        task["status"] = status
    odd.odd = lambda request, done: (
        Reply(body=searchset(*FOREIGN, *tasks)) if request.path.startswith(SEARCH) else done()
    )
    desk = clinic(odd, tmp_path)
    assert looks(desk) == "" and ids(desk) == {number} and not set(others) & ids(desk)
    assert desk.others == 2 and desk.state.refused() == []


def surrogate(task: dict[str, Any], odd: OddServer) -> None:
    task["input"][0]["valueString"] = "\ud800"


def deep(task: dict[str, Any], odd: OddServer) -> None:
    below: Any = []
    for _ in range(300):
        below = [{"extension": below}]
    task["extension"] = below


def nothing(task: dict[str, Any], odd: OddServer) -> None:
    odd.held["ServiceRequest/" + task["focus"]["reference"].rpartition("/")[2]]["supportingInfo"] = [None, 7]


@pytest.mark.parametrize("spoil", [surrogate, deep, nothing])
def test_a_referral_of_no_known_shape_is_refused_alone(spoil: Any, odd: OddServer, tmp_path: Path) -> None:
    _, number = asked(odd, 1, 2)
    spoil(odd.of("Task")[0], odd)
    desk = clinic(odd, tmp_path)
    (line,) = desk.look()
    assert line.startswith("Task/") and desk.troubles == [] and ids(desk) == {number}
    assert desk.look() == [] and len(desk.state.refused()) == 1


UNREADABLE = [
    Reply(404, outcome("unknown")), Reply(410), Reply(500, raw=b"<html>"), Reply(403, outcome("not yours")),
    Reply(body=outcome("look elsewhere")), Reply(body={"resourceType": "Patient", "id": "other"}), Reply(body=[]),
    Reply(raw=b"<html>Log in</html>", headers={"Content-Type": "text/html"}), Reply(301, headers={"Location": "/x"}),
]  # fmt: skip


def test_a_resource_that_cannot_be_read_holds_up_its_own_referral_alone(odd: OddServer, tmp_path: Path) -> None:
    first, second = asked(odd, 1, 2)
    patient = odd.of("Task")[0]["for"]["reference"]
    desk = clinic(odd, tmp_path)
    for reply in UNREADABLE:
        odd.odd = lambda request, done, reply=reply: reply if request.path == f"/r4/{patient}" else done()
        assert odd.url in looks(desk) and ids(desk) == {second}
    assert desk.state.refused() == []
    odd.odd = lambda request, done: done()
    assert looks(desk) == "" and ids(desk) == {first, second}


FAILED = [
    (Reply(raw=b"<html>Log in</html>", headers={"Content-Type": "text/html"}), "no JSON object (text/html)"),
    (Reply(body=outcome("down for repair")), "no Bundle (OperationOutcome: down for repair)"),
    (Reply(body={"resourceType": "CapabilityStatement"}), "no Bundle (CapabilityStatement"),
    (Reply(body={}), "no Bundle"),
    (Reply(body=[]), "no JSON object"),
    (Reply(204, raw=b""), "no JSON object"),
    (Reply(401), "MPOX_FHIR_TOKEN"),
    (Reply(403, outcome("no scope")), "no scope): give a token"),
    (Reply(500, {"issue": {"diagnostics": 7}}), "answers 500 (no reason given)"),
    (Reply(500, outcome("\x1b[2J\u202e gone")), "answers 500 (\\x1b[2J\\u202e gone)"),
    (Reply(307, headers={"Location": "https://other.example/r4/"}), "sends on to https://other.example/r4/"),
    (Reply(200, searchset(), cut=9), "cannot be reached"),
    (Reply(raw=b"no gzip", headers={"Content-Encoding": "gzip"}), "cannot be reached"),
    (Reply(raw=json.dumps(searchset()).encode("utf-16")), "no JSON object"),
]


def test_a_search_that_failed_is_no_empty_inbox(odd: OddServer, tmp_path: Path) -> None:
    asked(odd, 1)
    desk = clinic(odd, tmp_path, token="secret")
    for reply, said in FAILED:
        odd.odd = lambda request, done, reply=reply: reply if request.path.startswith(SEARCH) else done()
        assert said in looks(desk)
    odd.odd = lambda request, done: done()
    assert len(ids(desk)) == 0 and looks(desk) == "" and len(ids(desk)) == 1


def test_neither_a_redirection_nor_a_password_file_takes_the_token_elsewhere(
    odd: OddServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password of-mine\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    other = OddServer()
    try:
        odd.odd = lambda request, done: Reply(308, headers={"Location": f"{other.url}Task"})
        assert f"308 and sends on to {other.url}Task" in looks(clinic(odd, tmp_path, token="secret"))
        assert other.asked == [] and odd.asked[0].headers["Authorization"] == "Bearer secret"
    finally:
        other.stop()


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_asks_for_a_pause_has_it(status: int, odd: OddServer, tmp_path: Path) -> None:
    odd.odd = lambda request, done: Reply(status, headers={"Retry-After": "1"})
    desk = clinic(odd, tmp_path)
    assert f"answers {status}" in looks(desk)
    odd.odd = lambda request, done: done()
    assert "asked for a pause" in looks(desk) and len(odd.asked) == 1
    time.sleep(1.05)
    assert looks(desk) == "" and len(odd.asked) == 2


def absolute(reference: str, odd: OddServer) -> str:
    return odd.url + reference


def behind_a_proxy(reference: str, odd: OddServer) -> str:
    return odd.url.replace("http://", "https://") + reference


def versioned(reference: str, odd: OddServer) -> str:
    return f"{reference}/_history/1"


def both(reference: str, odd: OddServer) -> str:
    return f"{odd.url}{reference}/_history/1"


@pytest.mark.parametrize("written", [absolute, behind_a_proxy, versioned, both])
def test_references_are_followed_however_the_server_writes_them(written: Any, odd: OddServer, tmp_path: Path) -> None:
    """The referral's own, and the one to the answer, by which a clinic knows its own."""
    (number,) = asked(odd, 1)

    def changed(value: Any) -> Any:
        if isinstance(value, list):
            return [changed(one) for one in value]
        if not isinstance(value, dict):
            return value
        return {name: written(one, odd) if name == "reference" else changed(one) for name, one in value.items()}

    odd.held = {place: changed(one) for place, one in odd.held.items()}
    desk = clinic(odd, tmp_path)
    assert (desk.look(), desk.troubles, ids(desk)) == ([], [], {number})
    answer(desk, number)
    odd.odd = lambda request, done: None if request.method == "POST" and done() else done()  # done, and not heard
    assert "cannot be reached" in looks(desk)
    odd.held = {place: changed(one) for place, one in odd.held.items()}
    report = odd.of("DiagnosticReport")[0]
    report["identifier"].insert(0, {"system": "urn:of-the-server", "value": "7"})
    assert looks(desk) == "" and states(desk) == {number: "answered"}
    assert len(odd.of("DiagnosticReport")) == 1


@pytest.mark.parametrize("elsewhere", ["https://evil.example/r4/ServiceRequest/1", "https://Patient/1", "#1", "../x"])
def test_a_reference_to_another_place_is_refused(elsewhere: str, odd: OddServer, tmp_path: Path) -> None:
    asked(odd, 1)
    odd.of("Task")[0]["focus"]["reference"] = elsewhere
    (line,) = clinic(odd, tmp_path).look()
    assert "refers to something outside" in line


def test_a_referral_that_the_server_holds_twice_is_one_case(odd: OddServer, tmp_path: Path) -> None:
    """As on a server that does not know conditional creation, after a reply that was lost."""
    (number,) = asked(odd, 1)
    before = copy.deepcopy(odd.held)
    odd.held = {}
    asked(odd, 1)
    odd.held |= before
    assert len(odd.of("Task")) == 2
    desk = clinic(odd, tmp_path)
    assert (desk.look(), desk.troubles, ids(desk), desk.state.refused()) == ([], [], {number}, [])
    count = len(odd.asked)
    assert looks(desk) == "" and len(odd.asked) == count + 1  # nor is it fetched again


@pytest.mark.parametrize("status", ["cancelled", "completed"])
def test_a_request_that_others_closed_waits_for_nobody(status: str, odd: OddServer, tmp_path: Path) -> None:
    gone, kept = asked(odd, 1, 2)
    desk = clinic(odd, tmp_path)
    assert looks(desk) == "" and states(desk) == {gone: "open", kept: "open"}
    desk.open(gone, PAGE)
    odd.of("Task")[0]["status"] = status
    odd.of("Task")[1]["status"] = "in-progress"  # somebody else's word, which closes nothing
    assert looks(desk) == "" and states(desk) == {gone: "elsewhere", kept: "open"}
    with pytest.raises(LostError, match="closed at the server already"):
        desk.first(gone, PAGE, "mpox")
    last = list(desk.state.trail())[-1]
    assert (last["what"], last["id"]) == ("closed elsewhere", gone) and status in last["detail"]
    with pytest.raises(UserError, match="1 cases that others closed at the server"):
        write_labels(desk.state, None, tmp_path / "labels")


def test_a_server_that_was_set_up_anew_loses_and_mixes_up_nothing(odd: OddServer, tmp_path: Path) -> None:
    (old,) = asked(odd, 1)
    desk = clinic(odd, tmp_path)
    assert looks(desk) == ""
    odd.held, odd._next = {}, 0
    (new,) = asked(odd, 2)
    assert looks(desk) == "" and ids(desk) == {old, new}
    answer(desk, old)
    assert "is another request by now" in looks(desk)
    assert odd.of("Task")[0]["status"] == "requested" and states(desk) == {old: "answering", new: "open"}


NO_PROOF = [
    Reply(body={}), Reply(body=outcome("queued")), Reply(raw=b"<html>Log in</html>"), Reply(201, raw=b""),
    Reply(body={"resourceType": "Bundle", "type": "transaction-response"}),
    Reply(body={"resourceType": "Bundle", "type": "transaction-response", "entry": [{"response": {"status": "200"}}]}),
    Reply(body={"resourceType": "Bundle", "type": "transaction-response", "entry": [None, {"response": None}, {}]}),
    Reply(body={"resourceType": "Bundle", "type": "transaction-response", "entry": [{"response": {"status": 404}}]}),
]  # fmt: skip


def test_an_answer_is_sent_only_once_the_server_says_that_it_is_there(odd: OddServer, tmp_path: Path) -> None:
    (number,) = asked(odd, 1)
    desk = clinic(odd, tmp_path)
    desk.look()
    answer(desk, number)
    for reply in NO_PROOF:
        odd.odd = lambda request, done, reply=reply: reply if request.method == "POST" else done()
        assert "is not sent yet" in looks(desk) and states(desk) == {number: "answering"}
    odd.odd = lambda request, done: done() and NO_PROOF[0] if request.method == "POST" else done()
    assert "is not sent yet" in looks(desk)  # and yet it is there, which the next look finds
    odd.odd = lambda request, done: done()
    assert looks(desk) == "" and states(desk) == {number: "answered"}
    assert len(odd.of("DiagnosticReport")) == 1 and odd.of("Task")[0]["status"] == "completed"


@pytest.mark.parametrize("etag", ['W/"{}"', '"{}"', "{}"])
def test_a_version_may_stand_in_the_etag_alone(etag: str, odd: OddServer, tmp_path: Path) -> None:
    (number,) = asked(odd, 1)

    def bare(request: Asked, done: Any) -> Reply:
        reply = done()
        if request.method == "GET" and "?" not in request.path:
            body = {name: value for name, value in reply.body.items() if name != "meta"}
            return Reply(body=body, headers={"ETag": etag.format(reply.body["meta"]["versionId"])})
        return reply

    odd.odd = bare
    desk = clinic(odd, tmp_path)
    desk.look()
    answer(desk, number)
    assert looks(desk) == "" and states(desk) == {number: "answered"}


def test_one_answer_that_cannot_be_sent_holds_up_no_other(odd: OddServer, tmp_path: Path) -> None:
    first, second = asked(odd, 1, 2)
    desk = clinic(odd, tmp_path)
    desk.look()
    answer(desk, first)
    answer(desk, second)
    task = next(one for one in odd.of("Task") if first in json.dumps(one["identifier"]))
    odd.held[f"Task/{task['id']}"] = {**task, "identifier": None, "output": [None], "status": "completed"}
    assert "another request" in looks(desk) and states(desk) == {first: "answering", second: "answered"}


def test_a_byte_order_mark_and_gzip_are_read(odd: OddServer, tmp_path: Path) -> None:
    import gzip

    (number,) = asked(odd, 1)

    def packed(request: Asked, done: Any) -> Reply:
        raw = gzip.compress(b"\xef\xbb\xbf" + json.dumps(done().body).encode())
        return Reply(raw=raw, headers={"Content-Encoding": "gzip"})

    odd.odd = packed
    desk = clinic(odd, tmp_path)
    assert looks(desk) == "" and ids(desk) == {number}


def test_what_a_server_does_in_slow_motion_ends(
    odd: OddServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mpox.referrals.asking.LONGEST", 0.3)
    odd.odd = lambda request, done: time.sleep(0.4) or done()  # type: ignore[func-returns-value]
    assert "too slow" in looks(clinic(odd, tmp_path))


@pytest.mark.parametrize("status", ["cancelled", "rejected", "failed", "entered-in-error", "completed"])
def test_an_answer_to_a_request_that_was_closed_is_not_sent_and_says_why(
    status: str, odd: OddServer, tmp_path: Path
) -> None:
    (number,) = asked(odd, 1)
    desk = clinic(odd, tmp_path)
    desk.look()
    answer(desk, number)
    odd.of("Task")[0]["status"] = status
    assert looks(desk) == "" and odd.of("DiagnosticReport") == []
    (case,) = desk.queue("")["cases"]
    said = "" if status == "completed" else f"the request is {status}: not sent"  # "": another clinic, says the page
    assert (case["state"], case["trouble"]) == ("elsewhere", said)
    assert list(desk.state.trail())[-1]["what"] == "answered elsewhere"
