"""The web app of an export: a folder of static files, the built program of apps/web beside what the export says."""

import base64
import gzip
import hashlib
import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from mpox import __version__
from mpox.data.working_picture import resize_of
from mpox.errors import UserError
from mpox.files import read_record, replacing_folder, sha256_of, write_json
from mpox.mobile.file.contract import CONTRACT_FILE
from mpox.mobile.file.onnx_session import with_maps
from mpox.mobile.file.package import AGAIN, MODEL_FILE, ONNX_FILE, SUMS_FILE, recorded_sums, write_sums
from mpox.mobile.recipient import Recipient
from mpox.mobile.run.golden import EXPECTED, GOLDEN, Golden, read_golden
from mpox.mobile.run.onnx_model import OnnxModel
from mpox.places import check_replaceable

QUESTIONS = ("site", "onset", "fever", "contacts")
LIMITS = ("min_side", "min_sharpness", "max_bright", "max_dark", "max_border")
# Largest difference of a golden probability between this computer and the browser: of float files, and of int8, whose
# sums engines round differently (`mpox.mobile.check` allows the same).
TOLERANCE, INT8_TOLERANCE = 1e-3, 0.02
# Largest mean difference of the working picture of a photo that decoders open a little differently, in levels of 255.
LEVELS = 0.75
# Bytes of a golden photo above which phones do not keep it: only ?selftest fetches it.
LARGE = 500_000
MODEL, SITE, SERVICE, MANIFEST, PAGE = "model.bin", "site.json", "service.js", "app.webmanifest", "index.html"
# What the page may ask beside its own files: nothing, but for a configured server (in the page's policy).
_ASKED = "connect-src 'self'"
# Not needed by the app itself: not kept on the phone.
_BESIDE = frozenset({SERVICE, SUMS_FILE})
_COLOUR = "#0b5563"


@dataclass(frozen=True)
class SiteOptions:
    """What the app shows; conf/app.yaml explains each. The first of `languages` is the usual one.

    `limits`: of a photo's quality, beyond which it is refused, under the names of LIMITS. `recipient`: to whom
    referrals go; None: none are offered.
    """

    title: str
    contact: str | None
    questions: tuple[str, ...]
    languages: tuple[str, ...]
    limits: Mapping[str, float]
    recipient: Recipient | None = None


def write_site(export: Path, out: Path, options: SiteOptions, *, overwrite: bool) -> dict[str, Any]:
    """Write the app of an ONNX export into `out`, which appears complete or not at all.

    Returns `files`, how many there are, and `first_visit_bytes`, the bytes of all that a phone fetches once.

    Raises UserError for an export without ONNX or mpox, changed files, unknown options, a program that is not built, or
    an `out` that may not be replaced.
    """
    contract = _contract(export)
    program = built_program()
    for question in options.questions:
        if question not in QUESTIONS:
            raise UserError(f"questions={question} is unknown: choose from {', '.join(QUESTIONS)}")
    known = sorted(path.stem for path in program.glob("texts/*.json"))
    for language in options.languages:
        if language not in known:
            raise UserError(f"language {language} is not there: choose from {', '.join(known)}")
    with replacing_folder(out) as folder:
        _check_free(out, overwrite)
        shutil.copytree(program, folder, dirs_exist_ok=True)
        for path in folder.glob("texts/*.json"):
            if path.stem not in options.languages:
                path.unlink()
        (folder / MODEL).write_bytes(gzip.compress(with_maps(export / ONNX_FILE), 9, mtime=0))
        golden = _golden(read_golden(export / GOLDEN))
        beside = {*_BESIDE, *_copy_golden(golden, export, folder)}
        write_json(folder / MANIFEST, _manifest(options.title))
        _let_ask(folder / PAGE, options.recipient)
        content = _site(export, contract, golden, options)
        content["version"] = _digest(folder, content, beside)
        write_json(folder / SITE, content)
        visited = _write_service(folder, content["version"], beside)
        write_sums(folder)
        _check_free(out, overwrite)
    return {"files": sum(path.is_file() for path in out.rglob("*")), "first_visit_bytes": visited}


def built_program() -> Path:
    """Return the folder of the built program. Raises UserError for a checkout in which it was not built."""
    place = Path(str(resources.files("mpox"))) / "app_files"
    if not (place / "main.js").is_file():
        raise UserError(
            f"the web app is not built ({place} is not there): run make app (needs node), or install the wheel"
        )
    return place


def _contract(export: Path) -> dict[str, Any]:
    """The export's contract.json, its model checked against the sums."""
    if not (export / ONNX_FILE).is_file():
        if (export / MODEL_FILE).is_file():
            raise UserError(f"{export} is for ExecuTorch: export again: python -m mpox.export run=<run> format=onnx")
        raise UserError(f"no ONNX export at {export}: make one: python -m mpox.export run=<run> format=onnx")
    contract = read_record(export / CONTRACT_FILE, AGAIN, format=int, sha256=str, constants=dict, rule=dict)
    sums = recorded_sums(export)
    for name in (ONNX_FILE, f"{GOLDEN}/{EXPECTED}"):
        if sums.get(name) != sha256_of(export / name):
            raise UserError(f"{export / name} is not the file its {SUMS_FILE} was written for: export it again")
    if contract["format"] < 2:
        raise UserError(f"{export} was made by an earlier version: export it again")
    if contract["constants"].get("positive") is None:
        labels = ", ".join(contract["constants"]["labels"])
        raise UserError(f"{export} knows no class that means mpox ({labels}): export a run that has one")
    return contract


def _check_free(out: Path, overwrite: bool) -> None:
    if not out.exists() and not out.is_symlink():
        return
    if not overwrite:
        raise UserError(f"{out} exists: give overwrite=true to replace it, or another out=")
    sums = recorded_sums(out) if out.is_dir() else {}
    if SITE not in sums:
        raise UserError(f"{out} exists and is no app, so it is not replaced: give another out=")
    check_replaceable(out, lambda name: name in sums or name == SUMS_FILE, "app", "out")


def _site(export: Path, contract: dict[str, Any], golden: list[dict[str, Any]], options: SiteOptions) -> dict[str, Any]:
    """The content of site.json but for its version; apps/web/src/measure/site.ts has its types."""
    facts = contract["constants"]
    return {
        "title": options.title,
        "contact": options.contact,
        "questions": list(options.questions),
        "languages": list(options.languages),
        "model": {
            "name": facts["model"],
            "study": facts["study"],
            "fold": facts["fold"],
            "recipe": facts["recipe"],
            "tool_version": __version__,
            "sha256": contract["sha256"],
            "labels": facts["labels"],
            "positive": facts["positive"],
            "image_size": facts["image_size"],
            "interpolation": facts["interpolation"],
            "resize": resize_of(facts),
            "rule": contract["rule"],
            "explains": OnnxModel(export / ONNX_FILE).explains,
        },
        "golden": golden,
        "tolerance": TOLERANCE if facts["recipe"] == "fp32" else INT8_TOLERANCE,
        "level_tolerance": LEVELS,
        "limits": {name: options.limits[name] for name in LIMITS},
        "referral": options.recipient.plain() if options.recipient else None,
    }


def _let_ask(page: Path, recipient: Recipient | None) -> None:
    """Let the page ask the server's origin, and nothing else."""
    if recipient is None or recipient.origin is None:
        return
    text = page.read_text(encoding="utf-8")
    if text.count(_ASKED) != 1:
        raise UserError(f"{page} of the built program has another policy than this version's: run make app again")
    page.write_text(text.replace(_ASKED, f"{_ASKED} {recipient.origin}"), encoding="utf-8")


def _golden(golden: Golden) -> list[dict[str, Any]]:
    """The photos of the self-test, with the answers to those that every decoder opens alike."""
    return [
        {
            "photo": f"{GOLDEN}/{file.name}",
            "picture": None if file.suffix == ".png" else f"{GOLDEN}/{name}-picture.png",
            "probabilities": probabilities.tolist(),
            "kept": file.stat().st_size <= LARGE,
        }
        for name, file, probabilities in zip(golden.names, golden.files, golden.probabilities, strict=True)
    ]


def _copy_golden(golden: list[dict[str, Any]], export: Path, folder: Path) -> list[str]:
    """Copy the photos; return the paths in the app of those that phones do not keep."""
    (folder / GOLDEN).mkdir()
    for name in [one[kind] for one in golden for kind in ("photo", "picture") if one[kind]]:
        shutil.copyfile(export / name, folder / name)
    return [one[kind] for one in golden for kind in ("photo", "picture") if not one["kept"]]


def _manifest(title: str) -> dict[str, Any]:
    icons = [{"src": f"icon-{side}.png", "sizes": f"{side}x{side}", "type": "image/png"} for side in (192, 512)]
    return {
        "name": title,
        "short_name": title[:12].strip(),
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": _COLOUR,
        "theme_color": _COLOUR,
        "icons": [*icons, {"src": "icon.svg", "sizes": "any", "type": "image/svg+xml", "purpose": "any maskable"}],
    }


def _needed(folder: Path, beside: Collection[str]) -> list[Path]:
    """The files that a phone keeps, in order."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in files if path.relative_to(folder).as_posix() not in beside]


def _digest(folder: Path, content: dict[str, Any], beside: Collection[str]) -> str:
    """The version of the app: any other file, or any other content of site.json, is another one."""
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode())
    for path in (*_needed(folder, beside), folder / SERVICE):
        digest.update(f"{path.relative_to(folder).as_posix()} {sha256_of(path)}\n".encode())
    return digest.hexdigest()[:16]


def _write_service(folder: Path, version: str, beside: Collection[str]) -> int:
    """Put version and files before the service worker's program; return the bytes of all that a first visit fetches."""
    paths = _needed(folder, beside)
    files = {
        path.relative_to(folder).as_posix(): f"sha256-{base64.b64encode(bytes.fromhex(sha256_of(path))).decode()}"
        for path in paths
    }
    program = (folder / SERVICE).read_text(encoding="utf-8")
    head = f"const SITE = {json.dumps({'version': version, 'files': files})};\n"
    (folder / SERVICE).write_text(head + program, encoding="utf-8")
    return sum(path.stat().st_size for path in (*paths, folder / SERVICE))
