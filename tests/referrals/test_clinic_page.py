"""The page's server as any program on the machine can ask it: the token, the blinded first read, no other's case."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from made_referral import id_of, referral, write
from test_hostile import settled

from mpox.referrals.desk import Desk
from mpox.referrals.server import ClinicServer
from mpox.referrals.state import State

ANN, BOB = {"session": "a-page-of-ann-012345", "name": "Ann"}, {"session": "a-page-of-bob-012345", "name": "Bob"}
SUSPECTED, OLDER, CALM = (
    referral(1, "suspected", side=64),
    referral(2, "suspected", side=64, authored="2026-11-01T10:00:00Z"),
    referral(3, "not_suspected", side=64, authored="2026-10-01T10:00:00Z"),
)


def serve(tmp_path: Path, **options: Any) -> ClinicServer:
    """Serve the three referrals from a thread."""
    folder = tmp_path / "in"
    for bundle in (SUSPECTED, OLDER, CALM):
        write(folder, bundle)
    settled(folder)
    desk = Desk(State(tmp_path / "state.sqlite"), folder, None, folder / "answers", **options)
    desk.look()
    server = ClinicServer(desk, every=0.2, report=lambda _: None)
    threading.Thread(target=server.serve, daemon=True).start()
    return server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ClinicServer]:
    served = serve(tmp_path)
    yield served
    served.shutdown()


def ask(server: ClinicServer, path: str, body: dict[str, Any] | None = None, **headers: str) -> requests.Response:
    if body is None:
        return requests.get(server.url + path, headers=headers, timeout=30)
    return requests.post(server.url + path, json=body, headers=headers, timeout=30)


def test_only_the_printed_address_answers_and_nothing_from_elsewhere_is_allowed(server: ClinicServer) -> None:
    base = server.url.rsplit("/", 2)[0]
    for path in ("/", "/queue", "/wrong/queue", f"/{server.token[:-1]}/queue"):
        assert requests.get(base + path, timeout=30).status_code == 404
    page = ask(server, "")
    assert page.ok and "never a diagnosis" in page.text
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
    assert page.headers["Referrer-Policy"] == "no-referrer" and page.headers["Cache-Control"] == "no-store"
    assert ask(server, "queue", Host="evil.example").status_code == 421  # a name that was led to this machine
    action = {"id": id_of(SUSPECTED), **ANN}
    assert ask(server, "open", action, Origin="http://evil.example").status_code == 400
    assert (
        requests.post(f"{server.url}open", data=json.dumps(action), timeout=30).status_code == 400
    )  # as forms send it
    assert ask(server, "open", {**action, "label": "x" * 200_000}).status_code == 400
    for words in (None, 7, ["x"]):  # or a person would read "None"
        assert ask(server, "answer", {**action, "label": "acne", "words": words}).status_code == 400
    assert ask(server, "../../etc/passwd").status_code == 404
    assert ask(server, "queue", Origin="http://evil.example").headers.get("Access-Control-Allow-Origin") is None


def test_the_model_s_result_leaves_the_server_only_after_the_first_answer(server: ClinicServer) -> None:
    number = id_of(SUSPECTED)
    queue = ask(server, f"queue?session={ANN['session']}")
    assert [one["id"] for one in queue.json()["cases"]] == [
        id_of(OLDER),
        number,
        id_of(CALM),
    ]  # suspected first, by age
    shown = ask(server, "open", {"id": number, **ANN})
    for word in ("suspected", "0.55", "lite0", "map", "ababab"):
        assert word not in queue.text + shown.text
    assert shown.json()["choices"] == ["acne", "chickenpox", "healthy", "mpox", "other", "cannot tell"]
    places = [one["n"] for one in shown.json()["pictures"]]
    for place in (0, 1, 2):
        answer = ask(server, f"picture/{number}/{place}?session={ANN['session']}")
        assert (answer.status_code == 200) == (place in places)
        assert ask(server, f"picture/{number}/{place}?session={BOB['session']}").status_code == 409
    early = ask(server, "answer", {"id": number, "label": "mpox", **ANN})
    assert (early.status_code, early.json()["error"]) == (409, "give your first answer before the final one")
    assert ask(server, "first", {"id": number, "label": "measles", **ANN}).status_code == 400
    after = ask(server, "first", {"id": number, "label": "acne", **ANN}).json()
    assert (after["first"], after["result"]["outcome"], after["result"]["threshold"]) == ("acne", "suspected", 0.31)
    assert ask(server, f"picture/{number}/2?session={ANN['session']}").headers["Content-Type"] == "image/png"
    assert (
        ask(server, "first", {"id": number, "label": "mpox", **ANN}).json()["error"]
        == "your first answer is locked: acne"
    )
    noted = [(line["who"], line["what"]) for line in server.desk.state.trail() if line["id"] == number]
    assert noted[1:] == [
        ("Ann", what) for what in ("claimed", "saw the photos", "first answer", "saw the model's result")
    ]


def test_the_second_clinician_sees_who_has_the_case_and_reads_blind_as_well(server: ClinicServer) -> None:
    number = id_of(SUSPECTED)
    ask(server, "open", {"id": number, **ANN})
    ask(server, "first", {"id": number, "label": "acne", **ANN})
    refused = ask(server, "open", {"id": number, **BOB})
    assert refused.status_code == 409 and refused.json()["error"].startswith("Ann works on this case, until ")
    assert ask(server, "answer", {"id": number, "label": "acne", **BOB}).status_code == 409
    assert ask(server, "release", {"id": number, **ANN}).ok
    shown = ask(server, "open", {"id": number, **BOB}).json()
    assert (shown["first"], shown["result"]) == (None, None)
    assert ask(server, "answer", {"id": number, "label": "acne", **ANN}).status_code == 409


def test_requests_that_no_page_makes_are_refused_in_one_line(server: ClinicServer) -> None:
    body = {"id": id_of(SUSPECTED), "label": "mpox", "words": "", **ANN}
    assert ask(server, "open", body).ok and ask(server, "first", body).ok
    for changed in (
        {"name": " "}, {"name": "x" * 101}, {"name": "a\u202eb"}, {"session": "short"}, {"session": 7}, {"id": "../x"},
        {"words": "x" * 2001}, {"words": "a\x00b"}, {"label": "measles"},
    ):  # fmt: skip
        answer = ask(server, "answer", {**body, **changed})
        assert answer.status_code == 400 and "\n" not in answer.json()["error"], changed
    assert server.desk.state.answer_of(id_of(SUSPECTED)) is None


def test_not_blind_shows_the_result_at_once_and_by_age_hides_the_order(tmp_path: Path) -> None:
    served = serve(tmp_path, blind=False, order="age")
    try:
        assert [one["id"] for one in ask(served, "queue").json()["cases"]] == [
            id_of(CALM),
            id_of(OLDER),
            id_of(SUSPECTED),
        ]
        shown = ask(served, "open", {"id": id_of(CALM), **ANN}).json()
        assert shown["result"]["outcome"] == "not_suspected"
        assert ask(served, "answer", {"id": id_of(CALM), "label": "other", **ANN}).ok
    finally:
        served.shutdown()
    assert served.desk.state.answer_of(id_of(CALM))["blind"] == 0  # type: ignore[index]
