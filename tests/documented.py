"""The pages that people read, and the commands in them."""

import re
import shlex
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
DOCS = CHECKOUT / "docs"
# Made from conf/ by docs/options_pages.py.
GENERATED = DOCS / "reference" / "options"
PAGES = sorted(path for path in DOCS.rglob("*.md") if not path.is_relative_to(GENERATED))
AT_THE_ROOT = [
    CHECKOUT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
]


def commands(page: Path) -> list[str]:
    """The lines of the page's bash blocks, continued ones joined, without comments."""
    text = page.read_text(encoding="utf-8")
    found = []
    for block in re.findall(r"^```bash\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        found += [line.strip() for line in block.replace("\\\n", " ").splitlines() if line.strip()]
    return [line for line in found if not line.startswith("#")]


def words(line: str) -> list[str]:
    """A command as the shell takes it apart; what stands for something (`<name>`) becomes a word."""
    return shlex.split(re.sub(r"<[^>]+>", "x", line), comments=True)
