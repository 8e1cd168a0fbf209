"""Say which installed packages have known vulnerabilities, by pip-audit, where it can be had; the exit code is 0.

A warning: what became known today must not stop a change, nor may a machine without a network. pip-audit gets an
environment of its own, which is deleted again.
"""

import json
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

WANTED = "pip-audit>=2.7,<3"


def found(place: Path) -> list[dict[str, object]]:
    """Return pip-audit's entries, one a package. Raises OSError or SubprocessError where it cannot be had."""
    python = place / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", place], check=True, timeout=60)
    install = [python, "-m", "pip", "install", "--quiet", "--retries", "0", "--timeout", "10", WANTED]
    subprocess.run(install, check=True, timeout=90, stderr=subprocess.DEVNULL)
    command = [python, "-m", "pip_audit", "--path", sysconfig.get_path("purelib"), "--skip-editable", "--timeout", "10"]
    report = place / "found.json"
    subprocess.run([*command, "--format", "json", "--output", report], capture_output=True, timeout=120)
    if not report.is_file():
        raise OSError("pip-audit wrote no report")
    return list(json.loads(report.read_text())["dependencies"])


def summary(entries: list[dict[str, object]]) -> list[str]:
    """Return a warning for each package with vulnerabilities, and one for those that could not be asked about."""
    lines = []
    for entry in entries:
        if isinstance(known := entry.get("vulns"), list) and known:
            names = ", ".join(str(one["id"]) for one in known)
            lines.append(f"warning: {entry['name']} {entry['version']} has known vulnerabilities: {names}")
    if asked := sum("skip_reason" in entry for entry in entries):
        lines.append(f"warning: vulnerabilities of {asked} of {len(entries)} packages could not be asked about")
    return lines or [f"no known vulnerabilities in {len(entries)} packages"]


if __name__ == "__main__":
    try:
        with tempfile.TemporaryDirectory() as folder:
            print("\n".join(summary(found(Path(folder)))))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        print(f"warning: pip-audit cannot be had here, so vulnerabilities were not looked for ({type(error).__name__})")
