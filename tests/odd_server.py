"""A small FHIR server on loopback for tests of odd and broken ones: what it would answer can be changed on the way."""

import json
import re
import threading
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

JSON = "application/fhir+json"


@dataclass
class Reply:
    """What is answered: `body` as JSON, or `raw` as it is. `cut` of its bytes are not sent, and the line is closed."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    cut: int = 0


@dataclass
class Asked:
    """A request: its method, its path with the query, its headers and what it carries."""

    method: str
    path: str
    headers: dict[str, str]
    body: Any


Odd = Callable[[Asked, Callable[[], Reply]], Reply | None]


class OddServer:
    """Holds resources by `Type/id`; `odd` is given each request and what does it as a plain server would."""

    def __init__(self) -> None:
        self.held: dict[str, dict[str, Any]] = {}
        self.asked: list[Asked] = []
        self.odd: Odd = lambda asked, done: done()
        self._next = 0
        self._lock = threading.RLock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 1 << 16  # head and body leave together: else each waits for the other side's acknowledgement

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

            def do_GET(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                asked = Asked(self.command, self.path, dict(self.headers), body)
                with outer._lock:
                    outer.asked.append(asked)
                    reply = outer.odd(asked, lambda: outer._done(asked))
                if reply is None:  # the line is lost
                    self.close_connection = True
                    return
                content = json.dumps(reply.body).encode() if reply.raw is None else reply.raw
                self.send_response(reply.status)
                for name, value in {"Content-Type": JSON, "Content-Length": str(len(content)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content[: len(content) - reply.cut])
                self.close_connection |= reply.cut > 0

            def do_POST(self) -> None:
                self.do_GET()

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/r4/"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def put(self, bundle: dict[str, Any]) -> dict[str, Any]:
        """Take a transaction as an app posts it; return the Task that it holds."""
        with self._lock:
            self._transaction(bundle)
            return list(self.of("Task"))[-1]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [one for place, one in self.held.items() if place.startswith(f"{kind}/")]

    def _done(self, asked: Asked) -> Reply:
        parts = urllib.parse.urlsplit(asked.path)
        place = parts.path.removeprefix("/r4").strip("/")
        if asked.method == "POST" and place == "":
            return self._transaction(asked.body)
        if place in self.held:
            return Reply(body=self.held[place], headers={"ETag": f'W/"{self.held[place]["meta"]["versionId"]}"'})
        if asked.method == "GET" and "/" not in place:
            query = dict(urllib.parse.parse_qsl(parts.query))
            found = [one for one in self.of(place) if query.get("status") in (None, one.get("status"))]
            if number := query.get("identifier", "").partition("|")[2]:
                found = [one for one in found if number in json.dumps(one.get("identifier", ""))]
            return Reply(body=searchset(*found))
        return Reply(404, outcome(f"{place} is not known"))

    def _transaction(self, bundle: dict[str, Any]) -> Reply:
        places: dict[str, str] = {}
        work = []
        for entry in bundle["entry"]:
            resource, request = entry["resource"], entry["request"]
            if request["method"] == "PUT":
                old = self.held[request["url"]]
                if request.get("ifMatch", "").strip('W/"') != old["meta"]["versionId"]:
                    return Reply(412, outcome("another version"))
                place, status = request["url"], "200 OK"
            else:
                once = request["ifNoneExist"].removeprefix("identifier=urn:ietf:rfc:3986|")
                same = [at for at, one in self.held.items() if once in json.dumps(one.get("identifier", ""))]
                if not same:
                    self._next += 1
                place = same[0] if same else f"{resource['resourceType']}/{self._next}"
                status = "200 OK" if same else "201 Created"
            places[entry["fullUrl"]] = place
            if status != "200 OK" or request["method"] == "PUT":
                work.append((place, resource))
        for place, resource in work:
            text = re.sub("|".join(map(re.escape, places)), lambda found: places[found[0]], json.dumps(resource))
            version = int(self.held.get(place, {}).get("meta", {}).get("versionId", 0)) + 1
            self.held[place] = json.loads(text) | {"id": place.partition("/")[2], "meta": {"versionId": str(version)}}
        entries = [{"response": {"status": "201 Created", "location": one}} for one in places.values()]
        return Reply(body={"resourceType": "Bundle", "type": "transaction-response", "entry": entries})


def searchset(*found: Any, **more: Any) -> dict[str, Any]:
    entries = [{"resource": one, "search": {"mode": "match"}} for one in found]
    return {"resourceType": "Bundle", "type": "searchset", "total": len(found), "entry": entries, **more}


def outcome(text: str) -> dict[str, Any]:
    return {
        "resourceType": "OperationOutcome",
        "issue": [{"severity": "error", "code": "processing", "diagnostics": text}],
    }
