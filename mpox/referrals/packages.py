"""The packages that this room needs beside the project's own: the extra `clinic`."""

import importlib.util

from mpox.errors import UserError

# Module to be imported, and the package that holds it.
NEEDED = {"fhir.resources": "fhir.resources", "pyhpke": "pyhpke", "cryptography": "cryptography"}


def check_packages() -> None:
    """Raise UserError where a package of the extra `clinic` is missing."""
    for module, package in NEEDED.items():
        try:
            found = importlib.util.find_spec(module)
        except ModuleNotFoundError:  # of the package around it
            found = None
        if found is None:
            raise UserError(f"the clinic's side needs the package {package}: pip install 'mpox[clinic]'")
