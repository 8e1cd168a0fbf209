"""Overlays, alone with a caption and in contact sheets."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

WARNING = "Research software. Not a medical device, not a diagnosis."
# Violet, teal, yellow: none of them is a colour of skin, and brightness rises with the value.
COLOURS = np.array([[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]])
STRENGTH = 0.75  # of the colour where the map is 1; where it is 0 the photo is unchanged
TILE, GAP, CAPTION, HEAD, COLUMNS = 160, 8, 52, 64, 4
INK, GOOD, BAD, GREY = (20, 20, 20), (20, 110, 55), (180, 30, 30), (110, 110, 110)
# Of a captioned map, in pixels: least side, so that the caption can be read; margin; height of the scale.
LEAST_SIDE, MARGIN, BAR = 448, 12, 14

Font = ImageFont.FreeTypeFont


@cache
def font(size: int) -> Font:
    """DejaVu Sans, which comes with matplotlib: Pillow's own font lacks even the accents of Latin letters."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def percent(probability: float) -> str:
    """Write a probability; a rounded 100% would claim a certainty that no model has."""
    return f"{probability:.0%}" if probability < 0.995 else "over 99%"


def colours(map_HW: np.ndarray) -> np.ndarray:
    """Colour of each value 0..1 of a map: (H, W, 3) float64, 0..255."""
    at = np.linspace(0, 1, len(COLOURS))
    return np.stack([np.interp(map_HW, at, COLOURS[:, channel]) for channel in range(3)], -1)


def overlay(photo: np.ndarray, map_HW: np.ndarray) -> np.ndarray:
    """Blend a map (H, W) 0..1 over a photo (H, W, 3) uint8, the stronger the higher its value. Returns uint8."""
    weight = STRENGTH * np.clip(map_HW, 0, 1)[..., None]
    return np.rint((1 - weight) * photo + weight * colours(map_HW)).astype(np.uint8)


def captioned(photo: np.ndarray, map_HW: np.ndarray, lines: Sequence[str]) -> Image.Image:
    """Lay a map over a photo, as `overlay` does, with its scale and a caption below.

    The first of `lines` is the largest; long ones are wrapped. A map without any value above zero has no scale. The
    warning is part of the picture.
    """
    side = max(LEAST_SIDE, *photo.shape[:2])
    pixels = Image.fromarray(overlay(photo, map_HW)).resize((side, side), Image.Resampling.BICUBIC)
    texts = [(lines[0], font(17), INK), *((line, font(13), GREY) for line in lines[1:]), (WARNING, font(13), BAD)]
    rows = [(part, of, ink) for line, of, ink in texts for part in _wrapped(line, of, side - 2 * MARGIN)]
    scale = _scale(side - 2 * MARGIN) if (map_HW > 0).any() else None
    top = side + MARGIN + (scale.height + MARGIN // 2 if scale else 0)
    sheet = Image.new("RGB", (side, top + sum(round(1.4 * of.size) for _, of, _ in rows) + MARGIN), "white")
    sheet.paste(pixels, (0, 0))
    if scale:
        sheet.paste(scale, (MARGIN, side + MARGIN))
    pen = ImageDraw.Draw(sheet)
    for part, of, ink in rows:
        pen.text((MARGIN, top), part, ink, of)
        top += round(1.4 * of.size)
    return sheet


def _scale(width: int) -> Image.Image:
    """The colours of a map from 0 to its largest value, laid over grey as over a photo, with words at its ends."""
    words = font(13)
    scale = Image.new("RGB", (width, BAR + 4 + round(1.4 * words.size)), "white")
    values = np.tile(np.linspace(0, 1, width), (BAR, 1))
    scale.paste(Image.fromarray(overlay(np.full((BAR, width, 3), 200, np.uint8), values)), (0, 0))
    pen = ImageDraw.Draw(scale)
    pen.text((0, BAR + 4), "0: does not speak for the answer", GREY, words)
    pen.text((width, BAR + 4), "1: speaks most for it", GREY, words, anchor="ra")
    return scale


def _wrapped(line: str, of: Font, width: int) -> list[str]:
    """Break a line where it is wider than `width` pixels, within a word only where the word itself is too long."""
    most = len(line)
    while most > 1 and any(of.getlength(part) > width for part in textwrap.wrap(line, most)):
        most -= 1
    return textwrap.wrap(line, max(most, 1))


@dataclass(frozen=True)
class Tile:
    """One photo of a sheet: pixels and overlay (S, S, 3) uint8, three short lines, and if the prediction is correct."""

    photo: np.ndarray
    overlay: np.ndarray
    lines: tuple[str, str, str]
    correct: bool


def contact_sheet(tiles: Sequence[Tile], title: str, subtitle: str, warning: str = WARNING) -> Image.Image:
    """Draw photos beside their overlays, in order, with the model's answers; the warning is part of the picture."""
    columns = min(COLUMNS, max(1, len(tiles)))
    rows = -(-len(tiles) // columns)
    cell = (2 * TILE + 3 * GAP, TILE + CAPTION + GAP)
    sheet = Image.new("RGB", (max(columns * cell[0] + GAP, 720), HEAD + rows * cell[1] + GAP), "white")
    pen, small, large = ImageDraw.Draw(sheet), font(12), font(17)
    pen.text((GAP, 8), title, INK, large)
    pen.text((GAP, 32), subtitle, GREY, small)
    pen.text((GAP, 46), warning, BAD, small)
    for k, tile in enumerate(tiles):
        left, top = GAP + k % columns * cell[0], HEAD + k // columns * cell[1]
        for n, pixels in enumerate((tile.photo, tile.overlay)):
            picture = Image.fromarray(np.ascontiguousarray(pixels)).resize((TILE, TILE), Image.Resampling.BICUBIC)
            sheet.paste(picture, (left + n * (TILE + 4), top))
        for n, (line, ink) in enumerate(zip(tile.lines, (INK, GOOD if tile.correct else BAD, GREY), strict=True)):
            pen.text((left, top + TILE + 2 + 15 * n), _short(line, pen, small), ink, small)
    return sheet


def _short(line: str, pen: ImageDraw.ImageDraw, of: Font) -> str:
    """Cut a line in the middle to the width of a tile pair."""
    width = 2 * TILE
    if pen.textlength(line, of) <= width:
        return line
    keep = len(line)
    while keep > 4 and pen.textlength(_middle_cut(line, keep), of) > width:
        keep -= 1
    return _middle_cut(line, keep)


def _middle_cut(line: str, keep: int) -> str:
    return f"{line[: keep // 2]}…{line[len(line) - keep // 2 :]}"
