"""Compare the models of a study: tables, tests and a page. See `python -m mpox.compare --help`."""

from mpox.cli import start
from mpox.command import Command

COMMAND = Command(
    "compare",
    "Compare the models of a study: tables, tests and a page",
    work="mpox.commands.compare:run",
    examples=(
        "python -m mpox.compare study=mine",
        "python -m mpox.compare study=mine select=best",
        "python -m mpox.compare study=mine metric=auroc_mpox allow_partial=true",
    ),
)


def main() -> None:
    """Run `python -m mpox.compare`."""
    start(COMMAND)


if __name__ == "__main__":
    main()
