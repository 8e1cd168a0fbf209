"""The clinician's page: one HTML file, a style and a script, all from this package."""

from collections.abc import Callable
from importlib import resources

import jinja2

from mpox.help import NOTICE
from mpox.referrals.desk import Desk

_PLACE = resources.files("mpox.referrals") / "templates"


def rendered(desk: Desk) -> str:
    """Return the page's HTML; what it shows of cases it asks for."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mpox.referrals"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    name = desk.key.name if desk.key else ""
    return environment.get_template("clinic.html.jinja").render(clinic=name, warning=NOTICE, blind=desk.blind)


def _file(name: str, mime: str) -> Callable[[], tuple[str, bytes]]:
    return lambda: (mime, (_PLACE / name).read_bytes())


FILES = {
    "clinic.css": _file("clinic.css", "text/css; charset=utf-8"),
    "clinic.js": _file("clinic.js", "text/javascript; charset=utf-8"),
}
