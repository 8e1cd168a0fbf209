"""The review page: one HTML file that needs nothing else, to choose photos by hand and export `decisions.csv`."""

import json
import os
import urllib.parse
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup
from PIL import Image

from mpox.curation.findings import Audit
from mpox.curation.kinds import KINDS
from mpox.data.photos import PhotoError, decoded
from mpox.data.picture_files import picture_uri
from mpox.files import replacing
from mpox.progress import watched

REASONS = ("duplicate", "not skin", "not a photo", "text or watermark", "blurred", "exposure", "wrong label", "unsure")
QUALITY = 72  # of the WebP thumbnails: a few kilobytes each


def write_page(audit: Audit, path: Path, *, title: str, thumbnail: int = 160, link_photos: bool = True) -> int:
    """Write the review page of an audit, atomically. Returns its size in bytes.

    Thumbnails (longer side `thumbnail` pixels) are embedded. With `link_photos` the large view also tries the photos
    themselves by their path relative to the page, and falls back to the thumbnail where they are not there or have no
    such path. Decisions are kept by the browser under the audit's key.
    """
    content = _content(audit, thumbnail, _relative(audit.root, path.parent) if link_photos else "")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mpox.curation"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    page = environment.get_template("review.html.jinja").render(
        title=title,
        reasons=REASONS,
        css=_verbatim(environment, "review.css"),
        js=_verbatim(environment, "review.js"),
        content=_script_json(content),
    )
    with replacing(path) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return path.stat().st_size


def _content(audit: Audit, thumbnail: int, root: str) -> dict[str, Any]:
    """Return what the page shows as plain values: photos with their findings and thumbnails, pairs, kinds, labels."""
    manifest = audit.manifest
    findings: dict[str, list[list[str]]] = {photo: [] for photo in manifest["photo_id"]}
    about_photos = audit.findings[audit.findings["photo_id"].isin(findings)]
    for photo, *finding in about_photos[["photo_id", "kind", "evidence", "other"]].to_numpy(str).tolist():
        findings[photo].append(finding)
    thumbnails = _thumbnails(manifest, audit.root, thumbnail)
    facts = manifest[["path", "label", "source", "subject", "group", "width", "height", "reason"]].to_dict("records")
    photos = [
        {"id": photo, **fact, "findings": findings[photo], "thumb": picture}
        for photo, fact, picture in zip(manifest["photo_id"], facts, thumbnails, strict=True)
    ]
    suggested = about_photos.groupby("kind")["action"].agg(lambda actions: " or ".join(sorted(set(actions))))
    return {
        "key": audit.key,
        "root": root,
        "labels": sorted(manifest["label"].unique()),
        "kinds": [
            {"kind": name, "title": kind.title, "hint": f"{kind.hint} The audit suggests: {suggested[name]}."}
            for name, kind in KINDS.items()
            if name in suggested
        ],
        "photos": photos,
        "pairs": audit.pairs[["photo_id", "other", "kind", "evidence"]].to_numpy(str).tolist(),
    }


def _thumbnails(manifest: pd.DataFrame, root: Path, side: int) -> Iterator[str]:
    """Yield each photo's thumbnail as a data URI; empty for one that cannot be read."""
    paths = [root / path if width else None for path, width in zip(manifest["path"], manifest["width"], strict=True)]
    with ThreadPoolExecutor() as pool:
        made = pool.map(lambda path: _thumbnail(path, side) if path else "", paths)
        yield from watched(made, f"drawing {len(paths)} thumbnails", len(paths))


def _thumbnail(path: Path, side: int) -> str:
    try:
        with decoded(path) as photo:
            picture = photo.picture
            picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    except PhotoError:  # the audit could read it: it changed since; the manifest's own checks stop what follows
        return ""
    return picture_uri(picture, "webp", quality=QUALITY)


def _relative(root: Path, folder: Path) -> str:
    """Return the URL of the photo root relative to the page's folder, with a closing slash; empty where there is none.

    A page on another drive, or outside the home folder that holds the photos, has none: its path to them would contain
    a user's name, and pages are sent to reviewers.
    """
    root, folder, home = root.resolve(), folder.resolve(), Path.home().resolve()
    if root.drive != folder.drive or (root.is_relative_to(home) and not folder.is_relative_to(home)):
        return ""
    return urllib.parse.quote(Path(os.path.relpath(root, folder)).as_posix()) + "/"


def _verbatim(environment: jinja2.Environment, name: str) -> Markup:
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])


def _script_json(content: Any) -> Markup:
    """Return JSON that cannot end the script element around it, whatever a file is called."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=int)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)
