"""Imports run downward only, pipeline -> stages -> data, and under the product's name alone."""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "data": {"data"},
    "stages": {"stages", "data"},
    "pipeline": {"pipeline", "stages", "data"},
}


def imported(path: Path) -> set[str]:
    """The dotted names of all modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            assert node.module is not None
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.ImportFrom):
            found.add("." * node.level)
    return found


def rooms(path: Path) -> set[str]:
    """The top-level folders that a file imports from."""
    dotted = (name.split(".") for name in imported(path) if name.startswith("goodsam."))
    return {parts[1] for parts in dotted}


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_go_downward_only(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        upward = rooms(path) & set(ALLOWED) - ALLOWED[package]
        assert not upward, f"{path.relative_to(ROOT)} imports {upward}"


def test_nothing_is_imported_by_a_bare_name():
    for folder in (*ALLOWED, "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            bare = {name for name in imported(path) if name.split(".")[0] in {*ALLOWED, ""}}
            assert not bare, f"{path.relative_to(ROOT)} imports {bare}"


def test_data_knows_no_model():
    for path in sorted((ROOT / "data").rglob("*.py")):
        top = {name.split(".")[0] for name in imported(path)}
        assert not top & {"transformers", "segment_anything"}, path


def test_every_package_is_listed():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = {"goodsam"}
    for package in ALLOWED:
        for init in (ROOT / package).rglob("__init__.py"):
            if init.parent != ROOT / "pipeline" / "face":
                found.add(".".join(["goodsam", *init.parent.relative_to(ROOT).parts]))
    assert sorted(setuptools["packages"]) == sorted(found)
