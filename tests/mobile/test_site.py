"""The web app's folder: what is written from an export, what is refused, and what a second time replaces."""

import base64
import gzip
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import onnx
import pytest
from hydra import compose, initialize_config_dir

from mpox.commands.app import run
from mpox.errors import UserError
from mpox.files import read_json
from mpox.mobile import site
from mpox.mobile.file.package import recorded_sums, write_sums
from mpox.mobile.recipient import recipient
from mpox.options import config_dir

WEB = Path(__file__).parents[2] / "apps" / "web"


def make(*options: str) -> None:
    with initialize_config_dir(config_dir(), version_base="1.3"):
        run(compose("app", list(options)))


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A built program: the files of apps/web that need no bundler, and in place of its bundles a line each."""
    place = tmp_path / "program"
    shutil.copytree(WEB / "static", place)
    shutil.copytree(WEB / "texts", place / "texts")
    for name in ("main.js", "worker.js", "service.js", "runtime.bin"):
        (place / name).write_text("// built\n")
    monkeypatch.setattr(site, "built_program", lambda: place)
    return place


@pytest.mark.usefixtures("program")
def test_the_folder_holds_all_that_a_phone_needs(export: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    make(f"of={export}", f"out={out}", "languages=[en,fr]", "language=fr", "contact='Clinic <b>&'", "questions=[site]")
    content = read_json(out / "site.json")
    contract = read_json(export / "contract.json")
    assert content["model"]["sha256"] == contract["sha256"] and content["model"]["rule"] == contract["rule"]
    assert (content["languages"], content["questions"], content["contact"]) == (["fr", "en"], ["site"], "Clinic <b>&")
    assert {path.stem for path in out.glob("texts/*")} == {"en", "fr"}
    expected = read_json(export / "golden" / "expected.json")["answers"]
    assert [one["probabilities"] for one in content["golden"]] == [one["probabilities"] for one in expected.values()]
    assert all((out / one["photo"]).is_file() for one in content["golden"])
    model = onnx.load_from_string(gzip.decompress((out / "model.bin").read_bytes()))
    assert [output.name for output in model.graph.output] == ["logits", "maps"]
    head, program = (out / "service.js").read_text().split("\n", 1)
    kept = json.loads(head.removeprefix("const SITE = ").rstrip(";"))
    assert program == "// built\n" and kept["version"] == content["version"]
    large = [one for one in content["golden"] if not one["kept"]]
    assert len(large) == 1 and (out / large[0]["photo"]).stat().st_size > 1_000_000
    beside = {"service.js", "SHA256SUMS", large[0]["photo"], large[0]["picture"]}
    files = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert set(kept["files"]) == files - beside
    for name, integrity in kept["files"].items():
        digest = hashlib.sha256((out / name).read_bytes()).digest()
        assert integrity == f"sha256-{base64.b64encode(digest).decode()}"


@pytest.mark.usefixtures("program")
def test_an_app_is_replaced_when_asked_and_nothing_else_ever(export: Path, tmp_path: Path) -> None:
    out = tmp_path / "site"
    make(f"of={export}", f"out={out}")
    version = read_json(out / "site.json")["version"]
    with pytest.raises(UserError, match="exists: give overwrite=true"):
        make(f"of={export}", f"out={out}")
    make(f"of={export}", f"out={out}", "overwrite=true")
    assert read_json(out / "site.json")["version"] == version
    make(f"of={export}", f"out={out}", "overwrite=true", "title=Another")
    assert read_json(out / "site.json")["version"] != version
    (out / "own.txt").write_text("kept")
    with pytest.raises(UserError, match=re.escape("holds what this tool did not write (own.txt)")):
        make(f"of={export}", f"out={out}", "overwrite=true")
    with pytest.raises(UserError, match="exists and is no app"):
        make(f"of={export}", f"out={export}", "overwrite=true")
    assert (out / "own.txt").read_text() == "kept" and recorded_sums(export)


@pytest.mark.usefixtures("program")
def test_what_no_app_can_be_made_of_is_refused(export: Path, exported: Path, tmp_path: Path) -> None:
    out = f"out={tmp_path}/site"
    with pytest.raises(UserError, match=r"is for ExecuTorch: export again: .* format=onnx"):
        make(f"of={exported}", out)
    with pytest.raises(UserError, match=r"no ONNX export at .*nothing"):
        make(f"of={tmp_path}/nothing", out)
    with pytest.raises(UserError, match="give model="):
        make(out)
    for option, words in (("questions=[name]", "questions=name is unknown"), ("language=xx", "language xx is not")):
        with pytest.raises(UserError, match=words):
            make(f"of={export}", out, option)
    changed = tmp_path / "changed"
    shutil.copytree(export, changed)
    (changed / "golden" / "expected.json").write_text("{}")
    with pytest.raises(UserError, match="is not the file its SHA256SUMS was written for"):
        make(f"of={changed}", out)
    shutil.copy(export / "golden" / "expected.json", changed / "golden")
    contract = read_json(changed / "contract.json")
    del contract["constants"]["positive"]
    (changed / "contract.json").write_text(json.dumps(contract))
    write_sums(changed)
    with pytest.raises(UserError, match="knows no class that means mpox"):
        make(f"of={changed}", out)
    assert not (tmp_path / "site").exists()


def test_a_checkout_without_the_build_says_how_to_make_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(site.resources, "files", lambda _: tmp_path)
    with pytest.raises(UserError, match="run make app"):
        site.built_program()


def test_every_language_has_every_text() -> None:
    files = {path.stem: read_json(path) for path in (WEB / "texts").glob("*.json")}
    english = files["en"]["texts"]
    for code, content in files.items():
        assert content["language"] == code and list(content["texts"]) == list(english), code
        assert content["reviewed"] == (code == "en"), code
        for key, text in content["texts"].items():
            assert (key == "draft" and code == "en") or text.strip(), (code, key)
            fields = re.compile(r"\{\w+\}")
            assert sorted(fields.findall(text)) == sorted(fields.findall(english[key])), (code, key)
    source = "".join(path.read_text() for path in (WEB / "src" / "page").rglob("*.ts"))
    for key in re.findall(r'say\(\s*"(\w+)"', source):
        assert key in english, key


# A clinic's key: the curve's base point, which is the public key of the private key 1.
BASE = (
    "04"
    "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296"
    "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5"
)


def clinic_key(folder: Path, point: str = BASE, **changed: Any) -> Path:
    """A public key's file; a field changed to None is left out."""
    raw = bytes.fromhex(point)
    content = {
        "format": "mpox-clinic-key",
        "version": 1,
        "suite": "DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, AES-256-GCM",
        "public": base64.urlsafe_b64encode(raw).decode().rstrip("="),
        "id": hashlib.sha256(raw).hexdigest()[:16],
        "name": " Clinic <b>& ",
        **changed,
    }
    path = folder / "clinic.pub.json"
    path.write_text(json.dumps({name: value for name, value in content.items() if value is not None}))
    return path


@pytest.mark.usefixtures("program")
def test_the_page_may_ask_the_server_and_nothing_else(export: Path, tmp_path: Path) -> None:
    key = clinic_key(tmp_path)
    asked = {
        "": "'self'",
        "https://fhir.example.org:8443/r4/": "'self' https://fhir.example.org:8443",
        "http://localhost:9/": "'self' http://localhost:9",
    }
    for number, (server, policy) in enumerate(asked.items()):
        out = tmp_path / f"site{number}"
        given = [f"referral.key={key}", f"referral.server={server}"] if server else []
        make(f"of={export}", f"out={out}", *given)
        assert re.findall("connect-src ([^;]*);", (out / "index.html").read_text()) == [policy]
        referral = read_json(out / "site.json")["referral"]
        assert referral["server"] == (server.rstrip("/") or None)
        if server:
            assert referral["key"]["name"] == "Clinic <b>&" and referral["key"].keys() == {"id", "name", "public"}
    make(f"of={export}", f"out={tmp_path / 'off'}", "referral.offer=false")
    assert read_json(tmp_path / "off" / "site.json")["referral"] is None


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"format": "mpox-referral"}, "is no clinic's key"),
        ({"private": "AA"}, "holds the private key"),
        ({"version": 2}, "another version or suite"),
        ({"suite": "X25519"}, "another version or suite .X25519"),
        ({"public": None}, "no point of P-256"),
        ({"public": "é"}, "no point of P-256"),
        ({"point": BASE[:-2] + "f6"}, "no point of P-256"),
        ({"id": "0" * 16}, "id is not that of its public key"),
        ({"name": "a\nb"}, "name must be"),
        ({"name": 7}, "name must be"),
    ],
)
def test_a_wrong_key_is_one_clear_line(tmp_path: Path, changed: dict[str, Any], why: str) -> None:
    path = clinic_key(tmp_path, **changed)
    with pytest.raises(UserError, match="is not there"):
        recipient(tmp_path / "other.json", None)
    with pytest.raises(UserError, match=why) as caught:
        recipient(path, None)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("server", "why"),
    [
        ("http://fhir.example.org", "is not HTTPS"),
        ("ftp://fhir.example.org", "is not HTTPS"),
        ("fhir.example.org/r4", "is no address"),
        ("https://[::1", "is no address"),
        ("https://a.example:port/", "is no address"),
        ("https://a.example; script-src *", "is no address"),
        ("https://bücher.example", "is no address"),
        ("https://ann:secret@a.example/", "holds a name, a query"),
        ("https://a.example/?token=1", "holds a name, a query"),
    ],
)
def test_a_wrong_server_is_one_clear_line(server: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        recipient(None, server)
