"""Where W&B runs go and what they are called, without starting W&B."""

import functools
import hashlib
import logging
import os
import re

import requests

from mpox.errors import UserError

log = logging.getLogger(__name__)
MODES = ("auto", "online", "offline", "disabled")


def resolve_mode(mode: str) -> str:
    """Turn `auto` into WANDB_MODE where that is set, else `online` where there is a key, or `offline` with a warning.

    Raises UserError for an unknown mode.
    """
    if mode not in MODES:
        raise UserError(f"logger.mode={mode} is unknown: choose one of {', '.join(MODES)}")
    if mode == "auto":
        mode = os.environ.get("WANDB_MODE", "auto")
    if mode in MODES and mode != "auto":
        return mode
    if _has_key():
        return "online"
    _warn_offline()
    return "offline"


def _has_key() -> bool:
    """Look where wandb looks for credentials, without starting it: it would ask for them."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    server = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    return requests.utils.get_netrc_auth(server) is not None


def run_id(study: str, model: str, fold: int | str) -> str:
    """Return a W&B run id that is the same whenever the same job runs: readable, and unique by a hash."""
    return stable_id(f"{study}/{model}/fold-{fold}")


def stable_id(name: str) -> str:
    """Return an id of letters, digits and dashes for a name: readable, and unique by a hash."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", name)[:80]
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


@functools.cache
def _warn_offline() -> None:
    log.warning(
        "W&B (Weights & Biases, a web service): no key found, so runs are written on this machine alone; "
        "`wandb sync runs/<study>/*/*/wandb/offline-run-*` sends them, and logger.mode=disabled makes none"
    )
