"""What the web app makes of odd and broken FHIR servers: an answer is the person's own, what is sent has arrived."""

import copy
import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from odd_server import Asked, OddServer, Reply, outcome, searchset

WEB = Path(__file__).parents[2] / "apps" / "web"
URI = "urn:ietf:rfc:3986"
OWN, OTHER = "11111111-0000-4000-8000-000000000000", "22222222-0000-4000-8000-000000000000"


class App:
    """The app's code in node."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("node") is None or not (WEB / "node_modules" / "esbuild").is_dir():
            pytest.skip("no node here, or make app has not been run")
        program = folder / "asks.mjs"
        bundle = ["node_modules/.bin/esbuild", str(Path(__file__).with_name("app_asks.ts")), "--bundle"]
        options = ["--format=esm", "--platform=node", "--log-level=error", f"--outfile={program}"]
        subprocess.run([*bundle, *options], cwd=WEB, check=True)
        self.node = subprocess.Popen(["node", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(self, *asked: str) -> Any:
        assert self.node.stdin and self.node.stdout
        self.node.stdin.write(json.dumps(asked) + "\n")
        self.node.stdin.flush()
        return json.loads(self.node.stdout.readline())


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    made = App(tmp_path_factory.mktemp("app"))
    yield made
    made.node.kill()
    made.node.communicate()


@pytest.fixture
def odd() -> Iterator[OddServer]:
    server = OddServer()
    yield server
    server.stop()


def report(number: str, label: str, issued: str = "2026-11-28T10:00:00+01:00", status: str = "final") -> dict[str, Any]:
    return {"resourceType": "DiagnosticReport", "id": number, "status": status, "issued": issued,
            "conclusionCode": [{"text": label}], "meta": {"versionId": "1"}}  # fmt: skip


def task(number: str, about: str, *places: str, status: str = "completed") -> dict[str, Any]:
    outputs = [{"type": {"text": "answer"}, "valueReference": {"reference": place}} for place in places]
    names = [{"system": "urn:other", "value": "7"}, {"system": URI, "value": f"urn:uuid:{about}"}]
    return {"resourceType": "Task", "id": number, "status": status, "output": outputs, "identifier": names,
            "meta": {"versionId": "1"}}  # fmt: skip


def hold(odd: OddServer, *resources: dict[str, Any]) -> str:
    odd.held = {f"{one['resourceType']}/{one['id']}": one for one in resources}
    return odd.url.rstrip("/")


def test_nobody_sees_the_answer_to_another_person(app: App, odd: OddServer) -> None:
    """As on a server that does not know the search by identifier, or gives Tasks of others beside."""
    base = hold(odd, task("1", OTHER, "DiagnosticReport/8"), report("8", "theirs"), report("9", "ours"))
    odd.odd = lambda request, done: Reply(body=searchset(*odd.of("Task"))) if "?" in request.path else done()
    assert app("answer", base, OWN) is None
    for status in ("requested", "cancelled"):
        odd.held["Task/2"] = task("2", OWN, "DiagnosticReport/9", status=status)
        assert app("answer", base, OWN) is None
    odd.held["Task/2"] = task("2", OWN, "DiagnosticReport/9")
    assert app("answer", base, OWN)["label"] == "ours" and app("answer", base, OTHER)["label"] == "theirs"
    odd.odd = lambda request, done: (
        Reply(body=report("8", "theirs")) if request.path.endswith("/9") else done()
    )  # a cache that mixes answers up
    assert app("answer", base, OWN)["fault"] == "reply"


def test_an_answer_is_found_however_the_server_writes_its_place(app: App, odd: OddServer) -> None:
    place = "DiagnosticReport/9"
    for text in (place, f"{place}/_history/a-1", odd.url + place, odd.url.replace("http:", "https:") + place):
        base = hold(odd, task("1", OWN, text), report("9", "ours"))
        assert app("answer", base, OWN)["label"] == "ours", text
    for text in ("https://evil.example/r4/DiagnosticReport/9", "urn:uuid:9", "#9", "Patient/9", "x/DiagnosticReport/9"):
        base = hold(odd, task("1", OWN, text), report("9", "another's"))
        assert app("answer", base, OWN) is None, text


def test_of_several_answers_the_latest_that_stands_is_shown(app: App, odd: OddServer) -> None:
    early, late = (
        "2026-11-28T23:30:00+14:00",
        "2026-11-28T10:00:00Z",
    )  # by the clock on the wall it is the other way round
    base = hold(
        odd, task("1", OWN), task("2", OWN, "DiagnosticReport/8", "DiagnosticReport/9"),
        report("8", "late", late, "amended"), report("9", "early", early),
    )  # fmt: skip
    assert app("answer", base, OWN)["label"] == "late"
    odd.held["DiagnosticReport/8"]["status"] = "entered-in-error"
    assert app("answer", base, OWN)["label"] == "early"
    odd.held["DiagnosticReport/9"]["status"] = "preliminary"
    assert app("answer", base, OWN)["fault"] == "reply"


def test_what_is_no_answer_to_a_search_is_no_sign_that_nobody_answered(app: App, odd: OddServer) -> None:
    base = hold(odd)
    replies = [
        (Reply(body=outcome("down")), "reply"), (Reply(body={}), "reply"), (Reply(body=None), "reply"),
        (Reply(raw=b"<html>"), "reply"), (Reply(429), "429"), (Reply(410), "410"),
        (Reply(307, headers={"Location": "/r4/Task"}), "network"), (Reply(body=searchset(), cut=5), "network"),
    ]  # fmt: skip
    for reply, fault in replies:
        odd.odd = lambda request, done, reply=reply: reply
        assert app("answer", base, OWN)["fault"] == fault
    odd.odd = lambda request, done: done()
    assert app("answer", base, OWN) is None


def test_a_case_counts_as_sent_only_once_the_server_says_that_all_of_it_is_there(app: App, odd: OddServer) -> None:
    base = hold(odd)
    names = ("33333333-0000-4000-8000-000000000000", "44444444-0000-4000-8000-000000000000")
    entries = [
        {"fullUrl": f"urn:uuid:{name}", "resource": {"resourceType": "Patient", "identifier": [{"value": name}]},
         "request": {"method": "POST", "url": "Patient", "ifNoneExist": name}}
        for name in names
    ]  # fmt: skip
    bundle = json.dumps({"resourceType": "Bundle", "type": "transaction", "entry": entries})
    done: dict[str, Any] = {
        "resourceType": "Bundle",
        "type": "transaction-response",
        "entry": 2 * [{"response": {"status": "201"}}],
    }
    short, failed, other = copy.deepcopy(done), copy.deepcopy(done), copy.deepcopy(done)
    short["entry"].pop()
    failed["entry"][1] = {"response": {"status": "2010"}}
    other["type"] = "searchset"
    for reply in [Reply(body=one) for one in (short, failed, other, outcome("queued"), [], None)] + [
        Reply(raw=b"<html>")
    ]:
        odd.odd = lambda request, done, reply=reply: reply
        assert app("post", base, bundle)["fault"] == "reply"
    for status in (401, 409, 412, 413, 429, 503):
        odd.odd = lambda request, done, status=status: Reply(status, outcome("no"))
        assert app("post", base, bundle)["fault"] == str(status)
    in_a_minute = format_datetime(datetime.now(UTC) + timedelta(minutes=1), usegmt=True)
    for given, least, most in (("120", 120_000, 120_000), (in_a_minute, 50_000, 61_000), ("soon", 0, 0), ("-1", 0, 0)):
        odd.odd = lambda request, done, given=given: Reply(503, outcome("no"), headers={"Retry-After": given})
        assert least <= app("post", base, bundle)["wait"] <= most, given

    def unheard(request: Asked, done: Any) -> None:
        done()

    odd.odd = unheard
    assert app("post", base, bundle)["fault"] == "network"
    odd.odd = lambda request, done: done()
    assert app("post", base, bundle) == "there" and len(odd.of("Patient")) == 2
