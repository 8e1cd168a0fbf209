"""Turn an ONNX export into a web app that works offline on a phone. See `python -m mpox.app --help`."""

from mpox.cli import start
from mpox.command import Command

COMMAND = Command(
    "app",
    "Turn an ONNX export into a web app that works offline on a phone",
    work="mpox.commands.app:run",
    examples=(
        "python -m mpox.app model=exports/mine out=site",
        "python -m mpox.app model=exports/mine out=site 'contact=Health centre, telephone 123' language=fr",
        "python -m mpox.app model=exports/mine out=site overwrite=true questions=[] languages=[en]",
        "python -m mpox.app model=exports/mine out=site referral.key=keys/clinic.pub.json",
    ),
    renamed={"model": "of"},
    place="out",
)


def main() -> None:
    """Run `python -m mpox.app`."""
    start(COMMAND)


if __name__ == "__main__":
    main()
