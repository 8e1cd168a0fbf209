"""Pictures that leave the project carry what they show, in letters that can be read."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from mpox.xai.pictures import LEAST_SIDE, captioned, font, percent

PHOTO = np.full((96, 96, 3), 160, np.uint8)
RAMP = np.tile(np.linspace(0, 1, 96), (96, 1))


def yellow(picture: Image.Image) -> bool:
    """Whether the colour of the highest value is below the photo."""
    below = np.asarray(picture)[LEAST_SIDE:].astype(int)
    return bool(((below[..., 0] > 200) & (below[..., 1] > 180) & (below[..., 2] < 120)).any())


def test_a_map_carries_scale_and_caption_and_a_blank_one_no_scale() -> None:
    lines = ("mpox: probability 93%", "Colour: class activation map of mpox.")
    drawn, blank = captioned(PHOTO, RAMP, lines), captioned(PHOTO, 0 * RAMP, lines)
    assert drawn.width == blank.width == LEAST_SIDE
    assert drawn.height > blank.height + 20  # the scale
    assert yellow(drawn) and not yellow(blank)
    assert (np.asarray(blank)[LEAST_SIDE:] < 128).any()


def test_a_long_caption_is_wrapped_inside_the_picture() -> None:
    long = captioned(PHOTO, RAMP, ("a name of a class that is longer than the picture is wide " * 3, "x" * 200))
    assert long.height > captioned(PHOTO, RAMP, ("short", "x")).height + 60
    assert (np.asarray(long)[LEAST_SIDE:, -8:] == 255).all()


@pytest.mark.parametrize("pair", ["éè", "łl", "жщ", "ξψ"])
def test_letters_of_other_languages_are_drawn(pair: str) -> None:
    """A font that lacks a letter draws the same box for every one."""
    drawn = []
    for letter in pair:
        tile = Image.new("L", (30, 30))
        ImageDraw.Draw(tile).text((2, 2), letter, 255, font(18))
        drawn.append(np.asarray(tile))
    assert not np.array_equal(*drawn)


def test_no_probability_is_written_as_certain() -> None:
    assert [percent(value) for value in (0.5, 0.994, 0.996, 1.0)] == ["50%", "99%", "over 99%", "over 99%"]
