"""Where commands print: names of files and classes can neither control the terminal nor pass for other names."""

import io
import logging
import sys
import unicodedata
import warnings
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.text import Text

# Columns where there is no terminal: enough for every table. By default rich assumes 80, and tables lose words.
REDIRECTED = 200
# Marks that change the direction of the text after them: with them a name can be made to look like another.
BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Replacements for the commands' own signs where the terminal's encoding lacks them.
PLAIN = {"✓": "+", "✗": "x", "·": ".", "•": "*", "±": "+-", "…": "...", "→": "->", "Δ": "d", "≥": ">="}


def visible(text: str, keep: str = "") -> str:
    """Return `text` with control characters, line breaks and marks of direction written out (`\\x1b`); not `keep`.

    Bytes of a file name that are not UTF-8 are written out, too: no stream could take them.
    """
    return "".join(letter if letter in keep or _is_plain(letter) else _written(letter) for letter in text)


def shown(name: str) -> str:
    """Return a name for a table's cell or title, whose text rich reads as markup: visible, and taken literally."""
    return escape(visible(name))


def cell(text: str) -> str:
    """Return text of others for a field of a CSV file, where spreadsheets run what begins so, as a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def from_cell(field: str) -> str:
    """Return the text that `cell` made a field of."""
    return field[1:] if field.startswith("'") and cell(field[1:]) == field else field


def _is_plain(letter: str) -> bool:
    return letter not in BIDI and unicodedata.category(letter) not in ("Cc", "Cs", "Zl", "Zp")


def _written(letter: str) -> str:
    code = ord(letter)
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode() if code < 0xD800 or code > 0xDFFF else f"\\u{code:04x}"


class PlainConsole(Console):
    """A console that prints lines and tables with every name visible; its own colours stay."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does; a line break in a text is written out, for it is a name's: print two lines by two calls.

        Markup is read in tables, and elsewhere only where `markup=True` is given: names hold brackets, too.
        """
        if all(isinstance(one, str) for one in objects):
            options.setdefault("markup", False)
        super().print(*(visible(one) if isinstance(one, str) else one for one in objects), **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text as rich does, once it is what can be shown: tables measure it, and none loses a letter."""
        return super().render_str(self._shown(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does, with the controls in what is shown, not those of the console, written out."""
        for segment in super().render(renderable, options):
            text = segment.text if segment.control else self._shown(segment.text)
            yield segment if text == segment.text else Segment(text, segment.style, segment.control)

    def _shown(self, text: str) -> str:
        return _in(self.encoding, visible(text, keep="\n"))


class PlainFormatter(logging.Formatter):
    """A log's lines with every name visible; tracebacks keep their lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the line of a record, without its traceback."""
        record.message = visible(record.message)
        return super().formatMessage(record)


def results_console(*, soft_wrap: bool = True) -> Console:
    """Return a console on standard output that highlights nothing; `soft_wrap` leaves long lines to the terminal."""
    return PlainConsole(highlight=False, soft_wrap=soft_wrap, width=None if sys.stdout.isatty() else REDIRECTED)


def errors_console() -> Console:
    """Return a console on standard error for single lines, which are left to the terminal to wrap."""
    return PlainConsole(stderr=True, highlight=False, soft_wrap=True)


def accept_every_letter() -> None:
    """Have standard output and error write out what their encoding lacks, instead of ending the command over it."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _in(encoding: str, text: str) -> str:
    if encoding.lower().replace("-", "") == "utf8" or text.isascii():
        return text
    return "".join(letter if _has(encoding, letter) else PLAIN.get(letter) or _written(letter) for letter in text)


def _has(encoding: str, letter: str) -> bool:
    try:
        letter.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def quieten() -> None:
    """Send the project's log to the terminal and silence routine warnings of libraries."""
    accept_every_letter()
    log = logging.getLogger("mpox")
    if not log.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(PlainFormatter("%(levelname)s: %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
    # Lightning sets the level of its own logger when it is imported, which comes later; these children keep theirs.
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(True)
    for text in (".*does not have many workers.*", ".*Checkpoint directory .* exists.*", ".*LeafSpec.*"):
        warnings.filterwarnings("ignore", text)
