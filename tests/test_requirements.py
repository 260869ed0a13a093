"""Versions that are not safe cannot be installed beside goodsam."""

import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
UNSAFE = {
    "torch": "2.5.1",  # CVE-2025-32434: `weights_only` could be got round
    "filelock": "3.20.0",  # truncates what is put in the lock file's place
}


@pytest.mark.attack("models and runs")
@pytest.mark.parametrize("name", UNSAFE)
def test_unsafe_versions_are_excluded(name):
    (wanted,) = [r for r in map(Requirement, PROJECT["dependencies"]) if r.name == name]
    assert not wanted.specifier.contains(UNSAFE[name])
