"""A path that was mistyped is said to be missing at once: the hub is not asked for it."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def unasked(monkeypatch):
    def ask(*given, **more):
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("goodsam.stages.networks.files.PreTrainedConfig.get_config_dict", ask)


@pytest.mark.parametrize("name", ["/no/where", "no where/x", "mine", "a/b/c", "../x", "./y"])
def test_no_such_folder(goodsam, tmp_path, name):
    status, _, said = goodsam("predict", name, tmp_path, tmp_path / "o")
    assert status == 2
    (line,) = said.splitlines()
    assert line.startswith(f"goodsam: {name}: no such folder")
    assert "street-student" in line


def test_nothing_of_that_name_in_a_folder_that_is_here(goodsam, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").mkdir()
    status, _, said = goodsam("predict", "run/typo", tmp_path, tmp_path / "o")
    assert status == 2
    (line,) = said.splitlines()
    assert "there is a folder run here, and no typo in it" in line
