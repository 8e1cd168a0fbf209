"""The kinds of findings: what each suggests, how it is named, and how it is seen in the measures of a photo."""

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd

from mpox.curation.thresholds import QualityThresholds

# From the measured photos (a row each) and the limits: which have the finding (bool), and the measure behind it.
Check = Callable[[pd.DataFrame, QualityThresholds], tuple[pd.Series, pd.Series]]


@dataclass(frozen=True)
class Kind:
    """A kind of finding: the action it suggests, the title of its sheet, what to think of when deciding.

    `check` finds it by the measures of a photo, `evidence` is its text with the measure; other kinds are found from
    files, pairs or the whole set. `telling`: its share is compared between the classes, since what only one class has
    gives the class away without the skin.
    """

    action: str
    title: str
    hint: str
    check: Check | None = None
    evidence: str = ""
    telling: bool = False


def _side(measured: pd.DataFrame) -> pd.Series:
    return measured[["width", "height"]].min(axis=1)


def _no_skin(measured: pd.DataFrame, limits: QualityThresholds) -> pd.Series:
    far = measured["unlike"]
    return ((measured["skin_share"] < limits.min_skin) & (far > limits.min_unlike)) | (far > limits.max_unlike)


# In the order of a review.
KINDS = {
    "undecodable": Kind(  # not an image, truncated, empty, or too many pixels to be a photo
        "drop",
        "Unreadable files",
        "Not an image, broken, or too large. They can only be dropped, or repaired.",
    ),
    "unsupported_format": Kind(  # an image, but of a type that training does not read
        "drop",
        "Unsupported formats",
        "Images of a type that training does not read: convert or drop.",
    ),
    "label_conflict": Kind(  # the same picture under two labels
        "review",
        "Label conflicts",
        "The same picture under two labels: relabel one, or drop both.",
    ),
    "exact_duplicate": Kind(  # the same bytes as an earlier photo
        "drop",
        "Exact duplicates",
        "The same bytes: keep one (key O), drop the rest.",
    ),
    "near_duplicate": Kind(  # the same picture in place, flipped or turned by right angles
        "group",
        "Near-duplicates",
        "The same picture, edited, flipped or turned: keep one or all.",
    ),
    "same_source": Kind(  # another crop, scale, rotation or edit of the same picture
        "group",
        "Same source",
        "Cut from the same picture. Kept together they stay in one fold.",
    ),
    "cross_dataset_duplicate": Kind(  # the same picture in another data set
        "review",
        "Across data sets",
        "The same picture in two data sets: keep one.",
    ),
    "wrong_extension": Kind(  # the content is of another image type than its ending
        "keep",
        "Wrong file endings",
        "The content is of another type than the file's ending; the photo is read.",
    ),
    "animated": Kind(  # several frames: the first is used
        "review",
        "Animated",
        "Several frames; only the first is used.",
    ),
    "unusual_mode": Kind(  # CMYK, 16-bit, palette with transparency: converted to 8-bit RGB
        "keep",
        "Unusual colours",
        "CMYK, 16-bit or transparent; converted to 8-bit RGB.",
    ),
    "very_large": Kind(  # far more pixels than a phone photo
        "keep",
        "Very large",
        "Far more pixels than a phone photo.",
    ),
    "too_small": Kind(
        "review",
        "Too small",
        "Fewer pixels than the network's input.",
        lambda of, at: (_side(of) < at.min_side, _side(of)),
        "shorter side {:.0f} pixels",
        telling=True,
    ),
    "blurred": Kind(
        "review",
        "Blurred",
        "Little fine detail: is the lesion still to be judged?",
        lambda of, at: (of["sharpness"] < at.min_sharpness, of["sharpness"]),
        "sharpness {:.2f} (0 to 1)",
        telling=True,
    ),
    "overexposed": Kind(
        "review",
        "Overexposed",
        "Large white areas: is the lesion still to be judged?",
        lambda of, at: (of["bright_share"] > at.max_bright, of["bright_share"]),
        "{:.0%} burnt out",
        telling=True,
    ),
    "underexposed": Kind(
        "review",
        "Underexposed",
        "Large black areas: is the lesion still to be judged?",
        lambda of, at: (of["dark_share"] > at.max_dark, of["dark_share"]),
        "{:.0%} lost in the dark",
        telling=True,
    ),
    "border": Kind(  # letterbox or frame
        "review",
        "Borders",
        "Frames and letterbox bars give a collection away: draw a crop box, or drop.",
        lambda of, at: (of["border_share"] > at.max_border, of["border_share"]),
        "{:.0%} is a frame, bars, or a black or white background that reaches the edge",
        telling=True,
    ),
    "text": Kind(  # banner, caption or watermark
        "review",
        "Text suspected",
        "Captions, banners and watermarks give a collection away: crop or drop.",
        lambda of, at: (of["text_share"] >= at.min_text, 10 * of["text_share"]),
        "{:.0f} or more strokes in a line, like letters: banner, caption or watermark?",
        telling=True,
    ),
    "grey": Kind(  # no colour
        "review",
        "Grey",
        "Without colour, redness cannot be seen.",
        lambda of, at: (of["colourfulness"] < at.min_colourfulness, of["colourfulness"]),
        "colourfulness {:.1f} (0 is grey, 15 slight)",
        telling=True,
    ),
    "not_skin": Kind(  # hardly any skin colours and unlike the rest of the set
        "review",
        "Not skin?",
        "Drawings, microscopy, graphics: drop what is not a photo of skin.",
        lambda of, at: (_no_skin(of, at), of["skin_share"]),
        "unlike the other photos, {:.0%} skin-coloured",
    ),
    "imbalance": Kind(  # about a class or a source; photo_id is empty
        "review",
        "Balance",
        "About a class or a source: what the set as a whole may give away.",
    ),
}
