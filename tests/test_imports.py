"""Imports run downward only: pipeline -> stages -> data."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALLOWED = {
    "data": {"data"},
    "stages": {"stages", "data"},
    "pipeline": {"pipeline", "stages", "data"},
}


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.split(".")[0])
    return found


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_go_downward_only(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        upward = imported(path) & set(ALLOWED) - ALLOWED[package]
        assert not upward, f"{path.relative_to(ROOT)} imports {upward}"


def test_data_knows_no_model():
    for path in sorted((ROOT / "data").rglob("*.py")):
        assert not imported(path) & {"transformers", "segment_anything"}, path
