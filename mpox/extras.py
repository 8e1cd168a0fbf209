"""Packages of the project's extras, which an installation may lack."""

import importlib.util

from mpox.errors import UserError


def require(module: str, extra: str, *, what: str) -> None:
    """Raise UserError where a module of an extra's packages is not installed; `what` needs it. Nothing is imported."""
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # of the package around it
        found = None
    if found is None:
        raise UserError(f"{what} needs the package {module}: pip install 'mpox[{extra}]'")
