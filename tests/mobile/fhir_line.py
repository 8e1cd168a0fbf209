"""A FHIR server that really runs, and the line to it, which can be cut where a network is cut."""

import contextlib
import http.server
import threading
import time
from collections.abc import Iterator
from typing import Any

import requests
from fhir_process import Fhir

TYPES = ("Patient", "Device", "DocumentReference", "QuestionnaireResponse", "Observation", "ServiceRequest", "Task")


@contextlib.contextmanager
def fhir_server() -> Iterator[str]:
    """The server's address while it runs."""
    server = Fhir()
    try:
        yield server.start().rstrip("/")
    finally:
        server.stop()


def held(server: str) -> dict[str, int]:
    """How many resources of each type the server holds."""
    counts = {}
    for kind in (*TYPES, "Provenance"):
        found = requests.get(f"{server}/{kind}?_count=1000", timeout=20)
        found.raise_for_status()
        counts[kind] = len(found.json().get("entry", []))
    return counts


class Line:
    """Passes requests on to `server`. `state`: what happens to them.

    up: passed on. down: cut at once. cut_request: a POST is cut while it is read, so that the server never sees it.
    cut_reply: a POST is passed on, and its reply cut. held: a POST is read, and never answered. refused: by a status.
    """

    def __init__(self, server: str) -> None:
        self.server, self.state = server, "up"
        self.posted = 0  # that the server has seen
        self.arrived = 0  # that came as far as the line
        self.seconds = 0.0  # that a POST takes
        self._host = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"line": self}))
        self._host.daemon_threads = True
        self.url = f"http://localhost:{self._host.server_port}"
        threading.Thread(target=self._host.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.state = "down"
        self._host.shutdown()
        self._host.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    line: Line

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._pass(None)

    def do_OPTIONS(self) -> None:
        self._pass(None)

    def do_POST(self) -> None:
        self.line.arrived += 1
        length = int(self.headers["Content-Length"])
        if self.line.state == "cut_request":
            self.rfile.read(length // 2)
            return self.connection.close()
        body = self.rfile.read(length)
        if self.line.state == "held":
            while self.line.state == "held":
                time.sleep(0.1)
            return self.connection.close()
        if self.line.state == "refused":
            self.send_response(413)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()
            return None
        time.sleep(self.line.seconds)
        return self._pass(body)

    def _pass(self, body: bytes | None) -> None:
        if self.line.state == "down":
            return self.connection.close()
        names = ("Content-Type", "Accept", "Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers")
        headers = {name: self.headers[name] for name in names if name in self.headers}
        reply = requests.request(self.command, self.line.server + self.path, data=body, headers=headers, timeout=60)
        self.line.posted += body is not None
        if body is not None and self.line.state == "cut_reply":
            return self.connection.close()
        self.send_response(reply.status_code)
        for name, value in reply.headers.items():
            if name.lower().startswith(("access-control", "content-type")):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.content)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # who asked may have been killed
            self.wfile.write(reply.content)
        return None
