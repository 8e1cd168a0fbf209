"""The thresholds of an audit: all in one place, each an option of the configuration."""

from dataclasses import dataclass


@dataclass(frozen=True)
class PairThresholds:
    """What makes two photos a pair. The defaults were chosen by precision and recall: docs/measured/curation.md."""

    hash_distance: int = 14  # differing bits of 64 between perceptual hashes
    hash_correlation: float = 0.85  # of the pixels in place, which must agree as well
    neighbours: int = 10  # photos compared closely with each, by either index
    inliers: int = 6  # local features that agree on one map
    patch_correlation: float = 0.85  # of the pixels under that map, which must agree as well
    many_inliers: int = 15  # from so many on, the pixels may agree less: captions, edits and collages of one picture
    many_correlation: float = 0.7


@dataclass(frozen=True)
class QualityThresholds:
    """What a person should check: a measure of `mpox.curation.quality` beyond these."""

    min_side: int = 128  # pixels of the shorter side
    min_sharpness: float = 0.4
    max_bright: float = 0.1  # share of pixels burnt out
    max_dark: float = 0.25  # share of pixels lost in the dark
    max_border: float = 0.1  # share of the picture that is bars or padding
    min_text: float = 0.5  # letters in one line, by ten
    min_colourfulness: float = 14.0
    min_skin: float = 0.4  # share of skin-coloured pixels; below it, and unlike the others: not skin
    min_unlike: float = 2.0  # robust standard deviations of the distance to the nearest others
    max_unlike: float = 2.4  # the same; above it not skin, whatever the colours: graphics are often skin-coloured
    max_imbalance: float = 3.0  # largest class (source) over the smallest
    max_tell: float = 0.25  # by how much a finding's share in one class may exceed that in the rest
