import hashlib
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from safetensors.torch import save_file
from segment_anything import sam_model_registry
from torch import Tensor

from goodsam.data.errors import InputError
from goodsam.data.weights import STREET_SAM
from goodsam.stages.sam import load
from goodsam.stages.sam.load import architecture, load_sam
from goodsam.stages.sam.registry import street_sam


def half(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value.half() for key, value in state.items()}


def test_street_weights_load_and_are_small() -> None:
    loaded = load_sam("street")
    assert loaded.name == "street"
    assert loaded.sha256 == hashlib.sha256(STREET_SAM.read_bytes()).hexdigest()
    assert STREET_SAM.stat().st_size <= 8e6
    assert not loaded.model.training
    assert all(p.dtype == torch.float32 for p in loaded.model.parameters())


def test_street_checkpoint_of_one_s_own(tmp_path: Path) -> None:
    state = street_sam().state_dict()
    save_file(half(state), tmp_path / "sam.safetensors")
    loaded = load_sam("street", tmp_path / "sam.safetensors")
    for key, value in loaded.model.state_dict().items():
        assert torch.equal(value, state[key].half().float())


def test_unknown_name() -> None:
    with pytest.raises(InputError, match="'vit_x': unknown"):
        load_sam("vit_x")


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        load_sam("vit_b", tmp_path / "none.pth")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04broken"])
def test_unreadable_file(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"sam{suffix}"
    path.write_bytes(content)
    with pytest.raises(InputError, match="read safely"):
        load_sam("vit_b", path)


class Intruder:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("intruded"),))


def test_a_checkpoint_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"x": Intruder()}, "sam.pth")
    with pytest.raises(InputError, match="read safely"):
        load_sam("vit_b", tmp_path / "sam.pth")
    assert not (tmp_path / "intruded").exists()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (["memory_attention.layers.0.norm1.weight"], "SAM 2"),
        (["mask_decoder.hf_token.weight"], "HQ-SAM"),
        (["vision_encoder.pos_embed"], "a transformers SAM"),
        (["segformer.encoder.block.0.0.layer_norm_1.weight"], "a SegFormer"),
        (["conv1.weight"], "no SAM"),
    ],
)
def test_other_architectures_are_named(tmp_path: Path, keys: list[str], words: str) -> None:
    torch.save({"model": {key: torch.zeros(1) for key in keys}}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=words) as error:
        load_sam("vit_b", tmp_path / "other.pth")
    assert "other.pth" in str(error.value)
    assert "give a vit_b checkpoint" in str(error.value)


def test_one_sam_for_another(tmp_path: Path) -> None:
    torch.save(street_sam().state_dict(), tmp_path / "street.pth")
    with pytest.raises(InputError, match="holds street, not vit_b; use --sam street"):
        load_sam("vit_b", tmp_path / "street.pth")


def test_official_sams_are_known_by_their_width() -> None:
    with torch.device("meta"):
        for name in ("vit_b", "vit_l", "vit_h"):
            assert architecture(sam_model_registry[name]().state_dict()) == name


def test_incomplete_weights(tmp_path: Path) -> None:
    state = street_sam().state_dict()
    del state["mask_decoder.iou_token.weight"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(InputError, match="does not fit street"):
        load_sam("street", tmp_path / "part.pth")


def test_a_download_that_fails_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(load, "DOWNLOADS", tmp_path)
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with pytest.raises(InputError, match=r"sam_vit_b_01ec64\.pth: could not be downloaded"):
        load_sam("vit_b")


def test_a_damaged_download_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "DOWNLOADS", tmp_path)
    (tmp_path / "sam_vit_b_01ec64.pth").write_bytes(b"half of it")
    with pytest.raises(InputError, match="damaged"):
        load_sam("vit_b")
