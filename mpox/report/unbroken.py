"""Text for HTML: a number and its unit, a figure and its interval never end up on two lines."""

import re

SPACE = "\u00a0"
_UNITS = (
    "%|M|G|MB|ms|s|min|h|px|photos?|folds?|models?|groups?|subjects?|classes|networks?|million|parameters|pairs|others?|"
    "misses|years?"
)
_PLACES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?<=\d) (?=(?:{_UNITS})(?![A-Za-z]))",  # 95 %, 12.3 MB, 770 photos
        r" (?=±)|(?<=±) ",  # 0.850 ± 0.041
        r"(?<=[\d%)]) (?=to [+-]?\d)|(?<=\d to) (?=[+-]?\d)|(?<=% to) (?=[+-]?\d)",  # 0.815 to 0.874
        r"(?<=\bp) (?=[=<] ?\d)|(?<=[=<]) (?=\d)",  # p = 0.183
        r"(?<=\bfold) (?=\d)",  # fold 3
    )
)


def unbroken(text: str) -> str:
    """Return the text with spaces inside figures that do not break; markup, data of pictures and code stay valid."""
    if text.startswith("data:"):
        return text
    for pattern in _PLACES:
        text = pattern.sub(SPACE, text)
    return text
