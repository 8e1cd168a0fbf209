"""The packages that this room needs beside the project's own: the extra `clinic`."""

from mpox.extras import require

NEEDED = ("fhir.resources", "pyhpke", "cryptography")


def check_packages() -> None:
    """Raise UserError where a package of the extra `clinic` is missing."""
    for module in NEEDED:
        require(module, "clinic", what="the clinic's side")
