"""Downloads are seen where there is no terminal; huggingface_hub's own bars are not."""

from __future__ import annotations

import huggingface_hub
import pytest

from goodsam.pipeline import tell
from goodsam.stages import downloads
from goodsam.stages.segformer.files import load_segformer


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that has `has`, and tells of its bytes as the real one does."""
    monkeypatch.setenv("GOODSAM_LOG_SECONDS", "0")
    asked = []

    def snapshot_download(name, allow_patterns, tqdm_class):
        asked.append(allow_patterns)
        bars = [
            tqdm_class(desc=desc, total=0, initial=0, unit="B", unit_scale=True)
            for desc in ("Downloading bytes", "Reconstructing (incomplete total...)")
        ]
        files = tqdm_class(desc="Fetching 2 files", total=2)
        for bar in bars:
            bar.total = (bar.total or 0) + 4 * 2**20
            bar.refresh()
            bar.update(2**20)
            bar.update(2**20)
        files.update(1)
        for bar in (*bars, files):
            bar.close()
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


def test_bytes_are_told_once(hub, capsys, tmp_path):
    assert downloads.fetch("nvidia/b0", ["*"]) == tmp_path
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("download nvidia/b0: 1.0 MiB of 4.0 MiB")
    assert "download nvidia/b0: 2.0 MiB of 4.0 MiB, " in second
    assert second.endswith(" left")


def test_quiet_is_quiet(hub, capsys):
    tell.set_verbosity("quiet")
    try:
        downloads.fetch("nvidia/b0", ["*"])
    finally:
        tell.set_verbosity("normal")
    assert capsys.readouterr().err == ""


def test_a_segformers_weights_are_fetched_before_transformers_looks_for_them(
    hub, monkeypatch, write_model, tmp_path
):
    config = write_model(tmp_path / "model").joinpath("config.json")
    monkeypatch.setattr(
        "goodsam.stages.segformer.files.SegformerConfig.get_config_dict",
        lambda name: (__import__("json").loads(config.read_text()), {}),
    )
    with pytest.raises(ValueError, match="could be loaded"):
        load_segformer("nobody/nothing")
    assert hub == [["config.json", "model.safetensors"], ["pytorch_model.bin"]]
