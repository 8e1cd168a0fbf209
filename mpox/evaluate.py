"""Score the networks of a study on photos it has never seen. See `python -m mpox.evaluate --help`."""

from mpox.cli import start
from mpox.command import Command

COMMAND = Command(
    "evaluate",
    "Score the networks of a study on photos it has never seen",
    work="mpox.commands.evaluate:run",
    examples=(
        "python -m mpox.evaluate study=mine data.root=other_photos",
        "python -m mpox.evaluate study=mine data=msld data.root=msld binary=true",
        "python -m mpox.evaluate study=mine data.root=other 'map={warts: null, varicella: chickenpox}'",
        "python -m mpox.evaluate study=mine field=phones",
        "python -m mpox.evaluate study=mine field=labels/answers.csv",
    ),
)


def main() -> None:
    """Run `python -m mpox.evaluate`."""
    start(COMMAND)


if __name__ == "__main__":
    main()
