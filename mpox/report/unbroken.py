"""The text of an HTML page with figures kept whole: a number and its unit never end up on two lines."""

import re

SPACE = "\u00a0"
# What is left as it is: tags with their attributes, styles, and what may be copied into a terminal.
_MARKUP = re.compile(r"<style\b.*?</style>|<code\b.*?</code>|<[^>]*>", re.DOTALL)
_UNITS = (
    "%|M|G|MB|ms|s|min|h|px|photos?|test photos|folds?|models?|groups?|subjects?|classes|networks?|million|pairs?|"
    "others?|resamples|settings|known|missed|people|person"
)
_PLACES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?<=\d)[ \n](?=(?:{_UNITS})(?![A-Za-z]))",  # 95 %, 12.3 MB, 770 photos
        r"[ \n](?=±)|(?<=±)[ \n]",  # 0.850 ± 0.041
        r"(?<=[\d%)])[ \n](?=to[ \n][+-]?\d)",  # 0.815 to 0.874, and its second space
        rf"(?<={SPACE}to)[ \n](?=[+-]?\d)",
        r"(?<=\bp)[ \n](?=[=<] ?\d)|(?<=[=<])[ \n](?=\d)|(?<=&lt;)[ \n](?=\d)|(?<=\bp)[ \n](?=&lt; ?\d)",  # p = 0.183
        r"(?<=\bfold)[ \n](?=\d)",  # fold 3
    )
)


def unbroken(html: str) -> str:
    """Return a page with spaces inside figures that do not break, in its text alone."""
    parts, place = [], 0
    for markup in _MARKUP.finditer(html):
        parts += [_kept_whole(html[place : markup.start()]), markup[0]]
        place = markup.end()
    return "".join([*parts, _kept_whole(html[place:])])


def _kept_whole(text: str) -> str:
    for pattern in _PLACES:
        text = pattern.sub(SPACE, text)
    return text
