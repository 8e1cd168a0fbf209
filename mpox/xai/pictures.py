"""Overlays and contact sheets."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WARNING = "Research software. Not a medical device, not a diagnosis."
# Violet, teal, yellow: none of them is a colour of skin, and brightness rises with the value.
COLOURS = np.array([[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]])
STRENGTH = 0.75  # of the colour where the map is 1; where it is 0 the photo is unchanged
TILE, GAP, CAPTION, HEAD, COLUMNS = 160, 8, 52, 64, 4
INK, GOOD, BAD, GREY = (20, 20, 20), (20, 110, 55), (180, 30, 30), (110, 110, 110)


def colours(map_HW: np.ndarray) -> np.ndarray:
    """Colour of each value 0..1 of a map: (H, W, 3) float64, 0..255."""
    at = np.linspace(0, 1, len(COLOURS))
    return np.stack([np.interp(map_HW, at, COLOURS[:, channel]) for channel in range(3)], -1)


def overlay(photo: np.ndarray, map_HW: np.ndarray) -> np.ndarray:
    """Blend a map (H, W) 0..1 over a photo (H, W, 3) uint8, the stronger the higher its value. Returns uint8."""
    weight = STRENGTH * np.clip(map_HW, 0, 1)[..., None]
    return np.rint((1 - weight) * photo + weight * colours(map_HW)).astype(np.uint8)


@dataclass(frozen=True)
class Tile:
    """One photo of a sheet: pixels and overlay (S, S, 3) uint8, three short lines, and if the prediction is correct."""

    photo: np.ndarray
    overlay: np.ndarray
    lines: tuple[str, str, str]
    correct: bool


def contact_sheet(tiles: Sequence[Tile], title: str, subtitle: str) -> Image.Image:
    """Draw photos beside their overlays, in order, with their lines; the warning is part of the picture."""
    columns = min(COLUMNS, max(1, len(tiles)))
    rows = -(-len(tiles) // columns)
    cell = (2 * TILE + 3 * GAP, TILE + CAPTION + GAP)
    sheet = Image.new("RGB", (max(columns * cell[0] + GAP, 720), HEAD + rows * cell[1] + GAP), "white")
    pen, small, large = ImageDraw.Draw(sheet), ImageFont.load_default(12), ImageFont.load_default(18)
    pen.text((GAP, 8), title, INK, large)
    pen.text((GAP, 32), subtitle, GREY, small)
    pen.text((GAP, 46), WARNING, BAD, small)
    for k, tile in enumerate(tiles):
        left, top = GAP + k % columns * cell[0], HEAD + k // columns * cell[1]
        for n, pixels in enumerate((tile.photo, tile.overlay)):
            picture = Image.fromarray(np.ascontiguousarray(pixels)).resize((TILE, TILE), Image.Resampling.BICUBIC)
            sheet.paste(picture, (left + n * (TILE + 4), top))
        for n, (line, ink) in enumerate(zip(tile.lines, (INK, GOOD if tile.correct else BAD, GREY), strict=True)):
            pen.text((left, top + TILE + 2 + 15 * n), _short(line, pen, small), ink, small)
    return sheet


def _short(line: str, pen: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """Shorten a line in the middle to the width of a tile pair."""
    width = 2 * TILE
    if pen.textlength(line, font) <= width:
        return line
    keep = len(line)
    while keep > 4 and pen.textlength(_middle_cut(line, keep), font) > width:
        keep -= 1
    return _middle_cut(line, keep)


def _middle_cut(line: str, keep: int) -> str:
    return f"{line[: keep // 2]}…{line[len(line) - keep // 2 :]}"
