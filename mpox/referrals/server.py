"""The page's server: on this machine alone, behind a token in the address, with nothing from anywhere else."""

import hmac
import http.server
import json
import re
import secrets
import threading
import traceback
import urllib.parse
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from mpox.errors import UserError
from mpox.referrals.desk import Desk, page_of
from mpox.referrals.envelope import UUID
from mpox.referrals.page import FILES, rendered
from mpox.referrals.state import LostError

ADDRESS = "127.0.0.1"
LARGEST = 100_000  # bytes of a request
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_PICTURE = re.compile(rf"picture/({UUID.pattern})/(\d{{1,2}})")


class ClinicServer(http.server.ThreadingHTTPServer):
    """Serves one desk; `url` holds the token. The desk looks at its inbox every `every` seconds, and when woken."""

    daemon_threads = True

    def __init__(self, desk: Desk, port: int = 0, *, every: float = 10, report: Callable[[str], None] = print) -> None:
        super().__init__((ADDRESS, port), _Handler)
        self.desk, self.every, self.report = desk, every, report
        self.token = secrets.token_urlsafe(24)
        self.hosts = {f"{name}:{self.server_port}" for name in (ADDRESS, "localhost")}
        self.url = f"http://{ADDRESS}:{self.server_port}/{self.token}/"
        self.woken = threading.Event()
        self._ending = False
        self._looking = threading.Thread(target=self._look, daemon=True)

    def serve(self) -> None:
        """Answer requests until the process is asked to end."""
        self._looking.start()
        try:
            self.serve_forever(poll_interval=0.1)
        finally:
            self._ending = True
            self.woken.set()
            self._looking.join(timeout=5)
            self.server_close()

    def _look(self) -> None:
        last: list[str] = []
        while not self._ending:
            try:
                for line in self.desk.look():
                    self.report(f"refused: {line}")
                for line in self.desk.troubles:
                    if line not in last:
                        self.report(line)
                last = self.desk.troubles
            except Exception as error:  # the page says so, and the next look tries again
                traceback.print_exception(error)
                self.desk.troubles = [f"the inbox was not looked at: {type(error).__name__}"]
            self.woken.wait(self.every)
            self.woken.clear()


class _Handler(http.server.BaseHTTPRequestHandler):
    server: ClinicServer
    timeout = 30
    server_version, sys_version = "mpox", ""

    def do_GET(self) -> None:
        self._answered(self._get)

    def do_POST(self) -> None:
        self._answered(self._post)

    def _answered(self, work: Callable[[str, dict[str, str]], None]) -> None:
        parts = urllib.parse.urlsplit(self.path)
        token, _, rest = parts.path.removeprefix("/").partition("/")
        if self.headers.get("Host") not in self.server.hosts:  # a name elsewhere that leads to this machine
            return self._json(HTTPStatus.MISDIRECTED_REQUEST, {"error": "ask for this page by its own address"})
        if parts.path == "/favicon.ico":  # which browsers ask for by themselves
            return self._send(HTTPStatus.NO_CONTENT, "image/x-icon", b"")
        if not hmac.compare_digest(token.encode(), self.server.token.encode()):
            return self._json(HTTPStatus.NOT_FOUND, {"error": "open the address that the command has printed"})
        try:
            work(rest, dict(urllib.parse.parse_qsl(parts.query)))
        except LostError as error:
            self._json(HTTPStatus.CONFLICT, {"error": str(error)})
        except UserError as error:
            self._json(HTTPStatus.BAD_REQUEST, {"error": str(error)})
        except (BrokenPipeError, ConnectionError, TimeoutError):
            pass
        except Exception as error:
            traceback.print_exception(error)
            self._json(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": f"{type(error).__name__}: see the terminal"})

    def _get(self, rest: str, query: dict[str, str]) -> None:
        desk = self.server.desk
        if rest == "":
            return self._send(HTTPStatus.OK, "text/html; charset=utf-8", rendered(desk).encode())
        if rest in FILES:
            return self._send(HTTPStatus.OK, *FILES[rest]())
        if rest == "queue":
            return self._json(HTTPStatus.OK, desk.queue(query.get("session", "")))
        if found := _PICTURE.fullmatch(rest):
            return self._send(HTTPStatus.OK, *desk.picture(found[1], int(found[2]), query.get("session", "")))
        return self._json(HTTPStatus.NOT_FOUND, {"error": "there is no such page"})

    def _post(self, rest: str, _: dict[str, str]) -> None:
        desk = self.server.desk
        given = self._given()
        number = str(given.get("id", ""))
        page = page_of(given.get("session"), given.get("name"))
        label, words = given.get("label", ""), given.get("words", "")
        if not isinstance(label, str) or not isinstance(words, str):
            raise UserError("the label and the text to the person must be texts")
        if not UUID.fullmatch(number):
            raise UserError("the request names no case")
        actions: dict[str, Callable[[], dict[str, Any]]] = {
            "open": lambda: desk.open(number, page),
            "first": lambda: desk.first(number, page, label),
            "renew": lambda: desk.renew(number, page),
            "release": lambda: desk.release(number, page),
            "answer": lambda: desk.answer(number, page, label, words),
        }
        if rest not in actions:
            return self._json(HTTPStatus.NOT_FOUND, {"error": "there is no such action"})
        result = actions[rest]()
        if rest == "answer":
            self.server.woken.set()
        return self._json(HTTPStatus.OK, result)

    def _given(self) -> dict[str, Any]:
        """Return the JSON object of a request that this page has sent. Raises UserError."""
        origin = self.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://") not in self.server.hosts:
            raise UserError("the request comes from another page")
        size = self.headers.get("Content-Length", "")
        if self.headers.get_content_type() != "application/json" or not size.isdecimal() or int(size) > LARGEST:
            raise UserError("the request is not JSON of a usual size")
        try:
            given = json.loads(self.rfile.read(int(size)))
        except ValueError:
            given = None
        if not isinstance(given, dict):
            raise UserError("the request is not a JSON object")
        return given

    def _json(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        self._send(status, "application/json", json.dumps(content).encode())

    def _send(self, status: HTTPStatus, mime: str, content: bytes) -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": mime,
            "Content-Length": str(len(content)),
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-store",
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: addresses hold the token."""
