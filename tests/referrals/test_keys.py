"""The clinic's key pair as the command makes it."""

import json
import stat
from pathlib import Path

import pytest

from mpox.cli import start
from mpox.clinic import COMMAND
from mpox.errors import UserError
from mpox.referrals.keys import PRIVATE, PUBLIC, read_key

for name in ("fhir.resources", "pyhpke"):
    pytest.importorskip(name, reason=f"no {name} here: pip install 'mpox[clinic]'")


def clinic(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        start(COMMAND, arguments)
    return int(ended.value.code or 0)


def test_keys_are_made_once_and_only_the_owner_reads_the_private_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert clinic("keys", f"to={tmp_path}", "name=Centre de santé") == 0
    private, public = (json.loads((tmp_path / name).read_text()) for name in (PRIVATE, PUBLIC))
    assert stat.S_IMODE((tmp_path / PRIVATE).stat().st_mode) == 0o600
    assert public == {name: value for name, value in private.items() if name != "private"}
    assert (public["format"], public["version"], public["name"]) == ("mpox-clinic-key", 1, "Centre de santé")
    before = (tmp_path / PRIVATE).read_bytes()
    assert clinic("keys", f"to={tmp_path}", "name=Other") == 1
    assert "a key is never replaced" in capsys.readouterr().err
    assert (tmp_path / PRIVATE).read_bytes() == before


def test_keys_that_are_open_to_others_public_or_damaged_are_refused(keys: Path, tmp_path: Path) -> None:
    content = json.loads((keys / PRIVATE).read_text())
    path = tmp_path / PRIVATE

    def written(changed: dict[str, object], mode: int = 0o600) -> Path:
        path.write_text(json.dumps(changed))
        path.chmod(mode)
        return path

    for changed, mode, why in (
        (content, 0o644, "can be read by others"),
        ({**content, "private": content["private"][:-4]}, 0o600, "damaged"),
        ({**content, "private": "A" * 42 + "E"}, 0o600, "do not belong together"),
        ({**content, "version": 2}, 0o600, "is no key of a clinic"),
        (json.loads((keys / PUBLIC).read_text()), 0o600, "the public key, which opens nothing"),
    ):
        with pytest.raises(UserError, match=why):
            read_key(written(changed, mode))
    assert read_key(written(content)).id == content["id"]
