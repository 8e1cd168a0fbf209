"""Audit photos, decide about them, and release them as a data set. See `python -m mpox.curate --help`."""

from mpox.cli import start
from mpox.command import Command

COMMAND = Command(
    "curate",
    "Audit photos, decide about them, and release them as a data set",
    work="mpox.commands.curate:run",
    examples=(
        "python -m mpox.curate data=folder data.root=photos output=audit",
        "python -m mpox.curate apply decisions=decisions.csv output=audit",
        "python -m mpox.curate release to=dataset about.name=mine output=audit",
    ),
    words={
        "audit": "find duplicates and doubtful photos; write a page to decide on",
        "merge": "merge the decisions of two reviewers",
        "apply": "make the curated manifest that training reads",
        "release": "write the curated photos as a data set to publish",
    },
    place="output",
)


def main() -> None:
    """Run `python -m mpox.curate`."""
    start(COMMAND)


if __name__ == "__main__":
    main()
