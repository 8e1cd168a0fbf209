"""The web app's colours, in TypeScript run by node, against the desk's conversion (Little CMS through Pillow)."""

import base64
import io
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from icc import (
    ADOBE_RGB,
    D50,
    DISPLAY_P3,
    PROPHOTO,
    SRGB,
    SRGB_CURVE,
    colorants,
    of_matrix,
    of_tags,
    parametric,
    profile,
    table,
)
from PIL import Image, ImageCms

from mpox.data.colour import mode_of, to_srgb
from mpox.data.display_p3 import display_p3

WEB = Path(__file__).parents[2] / "apps" / "web"
SEED = 0
# Of `files`: what Pillow does not open.
UNREADABLE = ("text.jpg", "empty.jpg", "cut.jpg", "broken.png")
LIGHT = np.linspace(0, 1, 1024)
SRGB_LIGHT = np.where(LIGHT < 0.04045, LIGHT / 12.92, ((LIGHT + 0.055) / 1.055) ** 2.4)


def exact() -> dict[str, bytes]:
    """Profiles whose conversion changes a photo."""
    p3, prophoto = colorants(DISPLAY_P3), colorants(PROPHOTO, D50)
    tabled = table((SRGB_LIGHT * 65535).round())
    nearly = (SRGB_LIGHT * 65535).round()
    nearly[:4] = 26  # a black that is not quite black
    return {
        "the project's Display P3": display_p3(),
        "Display P3": profile(DISPLAY_P3),
        "Adobe RGB": of_matrix(colorants(ADOBE_RGB), [table([round(256 * 2.19921875)])] * 3, version=2),
        "ProPhoto": of_matrix(prophoto, [table([round(256 * 1.8)])] * 3, version=2),
        "ProPhoto, with a foot": of_matrix(prophoto, [parametric(1.8, 1, 0, 1 / 16, 1 / 32)] * 3),
        "P3 by a table": of_matrix(p3, [tabled] * 3, version=2),
        "P3 by a table of 4096": of_matrix(p3, [table((np.linspace(0, 1, 4096) ** 2.2 * 65535).round())] * 3),
        "P3 by a table with a step": of_matrix(p3, [table([0, 500, 9000, 8000, 65535])] * 3),
        "P3, black not black": of_matrix(p3, [table(nearly)] * 3, version=2),
        "P3, linear": of_matrix(p3, [table([])] * 3),
        "P3, a curve each": of_matrix(p3, [tabled, parametric(1.9), parametric(*SRGB_CURVE)]),
        "P3, power from a point": of_matrix(p3, [parametric(2.2, 1.05, -0.05)] * 3),
        "P3, power and an offset": of_matrix(p3, [parametric(2.2, 1.05, -0.05, 0.0002)] * 3),
        "P3, seven parameters": of_matrix(p3, [parametric(2.4, 0.9479, 0.0521, 0.0774, 0.04045, 0.001, 0)] * 3),
        "P3, a function backwards": of_matrix(p3, [parametric(2.2, -1, 0.5)] * 3),
        "sRGB's primaries, gamma 1.8": profile(SRGB, 1.8),
        "nearest sRGB, other curves": of_matrix(nearest_srgb(), [parametric(1.8), tabled, parametric(1.4)]),
        "wilder than light": of_matrix(5 * p3, [parametric(2.2)] * 3),
        "red and blue changed": of_matrix(p3[:, ::-1], [tabled] * 3),
    }


def same() -> dict[str, bytes]:
    """Profiles of sRGB under another name."""
    tabled = [table((SRGB_LIGHT * 65535).round())] * 3
    return {
        "sRGB, a table of 1024": of_matrix(colorants(SRGB), tabled, version=2),
        "sRGB, a function": profile(SRGB),
        "Pillow's sRGB": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        "nearest sRGB": of_matrix(nearest_srgb(), tabled),
    }


def other() -> dict[str, bytes]:
    """Profiles that are left to the browser."""
    p3, curves = colorants(DISPLAY_P3), [parametric(2.2)] * 3
    whole = display_p3()
    lifted, black = (table((65535 * (dark + (1 - dark) * SRGB_LIGHT)).round()) for dark in (0.003, 0))
    tags: dict[bytes, bytes] = {b"kTRC": curves[0]}
    return {
        "tables": of_matrix(p3, curves, more={b"A2B0": b"mft2".ljust(64, b"\0")}),
        "grey": of_tags(tags, space=b"GRAY"),
        "printer's inks": of_tags({b"A2B0": b"mft2".ljust(64, b"\0")}, space=b"CMYK"),
        "no curves": of_tags({}),
        "lifted black": of_matrix(p3, [lifted] * 3),
        "a black that is blue": of_matrix(p3, [black, black, lifted]),
        "of a later kind": of_matrix(p3, curves, version=5),
        "an unknown function": of_matrix(p3, [b"para\0\0\0\0\0\7\0\0".ljust(48, b"\0")] * 3),
        "an empty table": of_matrix(p3, [table([1, 2, 3])[:13]] * 3),
        "cut short": whole[:-40],
        "a head": whole[:128],
        "a few bytes": whole[:50],
        "nothing": b"",
        "no profile": b"no profile" * 40,
    }


def damaged() -> dict[str, bytes]:
    """Profiles of which some bytes have changed."""
    random = np.random.default_rng(SEED)
    found = {}
    for name, content in (exact() | same()).items():
        for where in (len(content), 300, 300):
            bytes_ = bytearray(content)
            for place in random.integers(0, where, 2):
                bytes_[place] = random.integers(256)
            found[f"{name}, damaged {len(found)}"] = bytes(bytes_)
    return found


def nearest_srgb() -> np.ndarray:
    """The colorants (3, 3) nearest to Little CMS's own sRGB of all that a profile can hold."""
    own = ImageCms.createProfile("sRGB")
    target = np.stack([column[0] for column in (own.red_colorant, own.green_colorant, own.blue_colorant)], 1)
    steps = np.array(list(np.ndindex(7, 7, 7))).T - 3
    columns = []
    for unit, column in zip(np.eye(3), target.T, strict=True):
        choices = (np.round(column * 65536)[:, None] + steps) / 65536
        away = np.abs(np.linalg.solve(target, choices) - unit[:, None]).max(0)
        columns.append(choices[:, away.argmin()])
    return np.stack(columns, 1)


def colours() -> np.ndarray:
    """Colours (1, N, 3): all greys, the corners and edges of the cube, and many at random."""
    greys = np.repeat(np.arange(256, dtype=np.uint8)[:, None], 3, 1)
    edges = np.array(list(np.ndindex(6, 6, 6)), np.uint8) * 51
    pure = np.concatenate([greys * mask for mask in np.eye(3, dtype=np.uint8)])
    random = np.random.default_rng(SEED).integers(0, 256, (60_000, 3), np.uint8)
    return np.concatenate([greys, edges, pure, random])[None]


def files() -> dict[str, bytes]:
    """Photos whose files carry a profile, or none, or one that is broken."""
    photo = Image.fromarray(np.random.default_rng(SEED).integers(0, 256, (40, 50, 3), np.uint8))
    wide = display_p3()
    large = of_matrix(
        colorants(DISPLAY_P3),
        [parametric(2.2)] * 3,
        more={b"long": np.random.default_rng(SEED).integers(0, 256, 150_000, np.uint8).tobytes()},
    )

    def saved(kind: str, **options: Any) -> bytes:
        stream = io.BytesIO()
        photo.save(stream, kind, **options)
        return stream.getvalue()

    exif = Image.Exif()
    exif[0x0112] = 6
    parts = saved("JPEG", icc_profile=large)
    second, third = (parts.index(b"ICC_PROFILE\0" + bytes([k, 3])) - 4 for k in (2, 3))
    end = third + 2 + int.from_bytes(parts[third + 2 : third + 4], "big")
    jpeg, png = saved("JPEG", icc_profile=wide, exif=exif), saved("PNG", icc_profile=wide)
    at = jpeg.index(b"ICC_PROFILE") - 4
    return {
        "plain.jpg": saved("JPEG"),
        "plain.png": saved("PNG"),
        "wide.jpg": jpeg,
        "wide.png": png,
        "parts.jpg": parts,
        "shuffled.jpg": parts[:second] + parts[third:end] + parts[second:third] + parts[end:],
        "a part lost.jpg": parts[:second] + parts[third:],
        "filled.jpg": jpeg[:at] + b"\xff\xff\xff" + jpeg[at:],
        "cut.jpg": jpeg[: at + 30],
        "large.png": saved("PNG", icc_profile=large),
        "broken.png": png.replace(png[png.index(b"iCCP") + 20 :][:30], b"\0" * 30),
        "wide.webp": saved("WEBP", icc_profile=wide),
        "text.jpg": b"no photo",
        "empty.jpg": b"",
    }


def carried(content: bytes) -> bytes | None:
    """The profile that Pillow finds in a JPEG or a PNG."""
    return Image.open(io.BytesIO(content), formats=("JPEG", "PNG")).info.get("icc_profile")


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder with what node made of the profiles, by their numbers, and what it printed."""
    if shutil.which("node") is None or not (WEB / "node_modules" / "esbuild").is_dir():
        pytest.skip("no node here, or make app has not been run")
    folder = tmp_path_factory.mktemp("colour")
    profiles = exact() | same() | other() | damaged()
    for k, content in enumerate(profiles.values()):
        (folder / f"{k}.icc").write_bytes(content)
    for name, content in files().items():
        (folder / name).write_bytes(content)
    rgb = colours()
    (folder / "colours.rgba").write_bytes(np.concatenate([rgb, np.full_like(rgb[..., :1], 255)], -1).tobytes())
    asked = {"profiles": [str(k) for k in range(len(profiles))], "files": list(files())}
    (folder / "asked.json").write_text(json.dumps(asked))
    program = folder / "colour.mjs"
    bundle = ["node_modules/.bin/esbuild", str(Path(__file__).with_name("web_colour.ts")), "--bundle", "--format=esm"]
    subprocess.run([*bundle, "--platform=node", "--log-level=error", f"--outfile={program}"], cwd=WEB, check=True)
    done = subprocess.run(["node", program, folder], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return folder, {"ways": dict(zip(profiles, found["profiles"].values(), strict=True)), "files": found["files"]}


@pytest.mark.parametrize(("made", "way"), [(exact, "exact"), (same, "same"), (other, "browser")])
def test_each_profile_is_taken_its_way(
    answered: tuple[Path, dict[str, Any]], made: Callable[[], dict[str, bytes]], way: str
) -> None:
    assert {name: answered[1]["ways"][name] for name in made()} == dict.fromkeys(made(), way)


def test_every_colour_is_the_desk_s(answered: tuple[Path, dict[str, Any]]) -> None:
    folder, found = answered
    checked = 0
    for k, (name, content) in enumerate((exact() | same() | other() | damaged()).items()):
        if found["ways"][name] == "browser":
            continue
        checked += 1
        given = np.frombuffer((folder / f"{k}.rgba").read_bytes(), np.uint8).reshape(1, -1, 4)
        expected = np.asarray(to_srgb(Image.fromarray(colours()), content) if mode_of(content) else colours())
        np.testing.assert_array_equal(given[..., :3], expected, err_msg=name)
        assert (given[..., 3] == 255).all()
    assert checked > len(exact()) + len(same()) + 10


def test_files_carry_the_profile_that_pillow_finds(answered: tuple[Path, dict[str, Any]]) -> None:
    content, found = files(), answered[1]["files"]
    readable = [name for name in content if name.endswith((".jpg", ".png")) and name not in UNREADABLE]
    for name in readable:
        expected = carried(content[name])
        assert found[name] == (expected and base64.b64encode(expected).decode()), name
    assert [found[name] is not None for name in ("wide.jpg", "parts.jpg", "shuffled.jpg", "filled.jpg")] == [True] * 4
    assert {found[name] for name in (*UNREADABLE, "wide.webp", "a part lost.jpg")} == {None}
