"""The clinician's side of the app: open referrals, answer them on a page, send the answers back.

See `python -m mpox.clinic --help`.
"""

from mpox.cli import start
from mpox.command import Command

COMMAND = Command(
    "clinic",
    "Open people's referrals, answer them on a page, and send the answers back",
    work="mpox.commands.clinic:run",
    examples=(
        "python -m mpox.clinic keys to=keys 'name=Health centre'",
        "python -m mpox.clinic inbox=referrals key=keys/clinic.key.json",
        "python -m mpox.clinic inbox=https://fhir.example.org/r4 state=clinic.sqlite",
        "python -m mpox.clinic export inbox=referrals key=keys/clinic.key.json to=labels",
        "python -m mpox.clinic audit inbox=referrals to=audit.csv",
    ),
    words={
        "serve": "take what is in the inbox, and answer it on a page of this machine",
        "keys": "make the clinic's key pair: the app is given the public half",
        "export": "write the answers as labels that curation and training read",
        "audit": "write the trail of who saw and answered what",
    },
    place="to",
)


def main() -> None:
    """Run `python -m mpox.clinic`."""
    start(COMMAND)


if __name__ == "__main__":
    main()
