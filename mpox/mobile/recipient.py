"""To whom the web app's referrals go: a clinic's public key, a FHIR server, or neither."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mpox.addresses import is_safe
from mpox.errors import UserError
from mpox.files import read_json
from mpox.key_file import FORMAT, LONGEST_NAME, SUITE, VERSION, from_base64url, key_id

# The curve NIST P-256: y² = x³ - 3x + B modulo P.
P = 2**256 - 2**224 + 2**192 + 2**96 - 1
B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B


@dataclass(frozen=True)
class Recipient:
    """What site.json says about referrals; apps/web/src/measure/site.ts has its types.

    `key`: id, name and public (base64url) of a clinic's key file; None: files are not encrypted. `server`: base address
    of a FHIR R4 server, without a slash at its end; None: none.
    """

    key: dict[str, str] | None
    server: str | None

    def plain(self) -> dict[str, Any]:
        """Return it as site.json has it."""
        return asdict(self)

    @property
    def origin(self) -> str | None:
        """The server's origin, the one address beside its own that the page may ask."""
        if self.server is None:
            return None
        parts = urlsplit(self.server)
        return f"{parts.scheme}://{parts.netloc}"


def recipient(key: Path | None, server: str | None) -> Recipient:
    """Check a public key's file and a server's address. Raises UserError for either."""
    return Recipient(None if key is None else _public_key(key), None if server is None else _server(server))


def _public_key(path: Path) -> dict[str, str]:
    fix = "give the clinic.pub.json that python -m mpox.clinic keys wrote"
    if not path.is_file():
        raise UserError(f"referral.key={path} is not there: {fix}")
    content = read_json(path)
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"referral.key={path} is no clinic's key: {fix}")
    if "private" in content:
        raise UserError(f"referral.key={path} holds the private key, which must never leave the clinic: {fix}")
    if content.get("version") != VERSION or content.get("suite") != SUITE:
        raise UserError(f"referral.key={path} is of another version or suite ({content.get('suite')}): {fix}")
    point = _point(content.get("public"))
    if point is None:
        raise UserError(f"referral.key={path}: public is no point of P-256 in 65 bytes of base64url: {fix}")
    if content.get("id") != key_id(point):
        raise UserError(f"referral.key={path}: id is not that of its public key, the file was changed: {fix}")
    name = content.get("name")
    if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
        raise UserError(f"referral.key={path}: name must be 1 to {LONGEST_NAME} printable characters: {fix}")
    return {"id": content["id"], "name": name.strip(), "public": content["public"]}


def _point(text: Any) -> bytes | None:
    """The bytes of an uncompressed point that lies on the curve; None for anything else."""
    try:
        raw = from_base64url(text)
    except (TypeError, ValueError):
        return None
    if len(raw) != 65 or raw[0] != 4:
        return None
    x, y = int.from_bytes(raw[1:33]), int.from_bytes(raw[33:])
    return raw if x < P and y < P and (y * y - (x**3 - 3 * x + B)) % P == 0 else None


def _server(text: str) -> str:
    fix = "give the base address of a FHIR R4 server, as https://fhir.example.org/r4"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    # A space, quote or semicolon would end the source in the Content-Security-Policy.
    if not host or not text.isascii() or any(sign in text for sign in " ;,'\"<>\\") or not text.isprintable():
        raise UserError(f"referral.server={text} is no address: {fix}")
    if parts.username is not None or parts.query or parts.fragment:
        raise UserError(f"referral.server={text} holds a name, a query or a fragment, which everybody would see: {fix}")
    if not is_safe(parts):
        raise UserError(f"referral.server={text} is not HTTPS, without which photos could be read on the way: {fix}")
    return text.rstrip("/")
