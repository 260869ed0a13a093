"""SAMs from directories of transformers: what is loaded, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
from safetensors.torch import load_file, save_file

from goodsam.data.errors import InputError
from goodsam.stages.sam import hub
from goodsam.stages.sam.factory import SamFactory
from goodsam.stages.sam.hub import SAM2_GENERATOR, load_folder
from goodsam.stages.sam.load import load_sam
from goodsam.stages.sam.registry import SAMS, default_generator, known_sam
from tests.stages.sam.tiny_transformers import TRAINED, edgetam, processor, random, sam3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return shutil.copytree(TRAINED, tmp_path / "sam2")


def edited(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_directory_is_a_sam_by_its_path() -> None:
    loaded = load_sam(str(TRAINED))
    assert loaded.name == str(TRAINED)
    assert not loaded.model.training
    assert {p.dtype for p in loaded.model.parameters()} == {torch.float32}
    assert default_generator(str(TRAINED)) == SAM2_GENERATOR
    assert known_sam(str(TRAINED)).licence is None


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n", "Apache-2.0"),
        ("---\nlicense: other\nlicense_name: sam-license\n---\n", "SAM License"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\nlibrary_name: transformers\n---\n", None),
        ("---\nlicense: [\n---\n", None),
        ("no front matter", None),
    ],
)
def test_a_licence_is_read_from_the_card(folder: Path, card: str, licence: str | None) -> None:
    (folder / "README.md").write_text(card)
    assert known_sam(str(folder)).licence == licence
    assert SamFactory(str(folder), None, SAM2_GENERATOR).provenance["licence"] == licence


def test_the_hash_is_of_all_that_decides_the_masks(folder: Path) -> None:
    first = load_folder(TRAINED)[1]
    assert load_folder(folder)[1] == first  # wherever it lies
    (folder / "README.md").write_text("a card")
    assert load_folder(folder)[1] == first
    edited(folder / "preprocessor_config.json", image_mean=[0.4, 0.5, 0.6])
    sam, second = load_folder(folder)
    assert second != first
    np.testing.assert_allclose(sam.pixel_mean.flatten() / 255, [0.4, 0.5, 0.6], rtol=1e-6)
    weights = load_file(folder / "model.safetensors")
    weights["mask_decoder.iou_token.weight"] += 1
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert load_folder(folder)[1] not in (first, second)


def test_weights_in_parts_are_the_same_sam(tmp_path: Path, folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    names = sorted(weights)
    parts = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, keys in parts.items():
        save_file({key: weights[key] for key in keys}, folder / file, {"format": "pt"})
    index = {"metadata": {}, "weight_map": {k: f for f, keys in parts.items() for k in keys}}
    (folder / "model.safetensors").unlink()
    (folder / hub.INDEX).write_text(json.dumps(index))
    whole, split = load_folder(TRAINED)[0].state_dict(), load_folder(folder)[0].state_dict()
    assert all(torch.equal(whole[key], split[key]) for key in whole)
    (folder / "b.safetensors").unlink()
    with pytest.raises(InputError, match="nor all parts of one"):
        load_folder(folder)


def test_without_a_processor_the_family_s_own_counts(tmp_path: Path) -> None:
    random(sam3).save_pretrained(tmp_path)
    sam, _ = load_folder(tmp_path)
    assert sam.pixel_mean.flatten().tolist() == [127.5] * 3
    assert sam.image_encoder.img_size == 112


def test_a_config_of_videos_holds_the_sam_of_stills(folder: Path) -> None:
    edited(folder / "config.json", model_type="sam2_video")
    expected = load_folder(TRAINED)[0].state_dict()
    found = load_folder(folder)[0].state_dict()
    assert all(torch.equal(found[key], expected[key]) for key in expected)


def refused(folder: Path | str, *words: str) -> None:
    with pytest.raises(InputError) as error:
        load_sam(str(folder))
    for word in (str(folder), *words):
        assert word in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_code_of_its_own_is_never_run(folder: Path) -> None:
    (folder / "evil.py").write_text("raise SystemExit('it ran')")
    edited(folder / "config.json", auto_map={"AutoModel": "evil.Evil"})
    refused(folder, "code of its own")
    edited(folder / "config.json", model_type="evil")
    refused(folder, "code of its own")


@pytest.mark.parametrize("kind", ["segformer", "sam2_hiera_det_model", None])
def test_other_models_are_named(folder: Path, kind: str | None) -> None:
    edited(folder / "config.json", model_type=kind)
    refused(folder, f"holds {kind or 'no model'}", "goodsam teachers")


@pytest.mark.parametrize("content", ["", "[1, 2]", "not JSON"])
def test_an_unreadable_config(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    refused(folder, "no JSON of a model")


def test_a_directory_without_a_config_or_weights(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", "no config.json")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    refused(folder, "no model.safetensors")


def test_weights_of_another_model(folder: Path) -> None:
    save_file({"conv.weight": torch.zeros(1)}, folder / "model.safetensors", {"format": "pt"})
    refused(folder, "weights of another model")
    (folder / "model.safetensors").write_bytes(b"no tensors")
    refused(folder, "do not fit its config.json")


def test_weights_of_one_family_with_the_config_of_another(folder: Path, tmp_path: Path) -> None:
    random(sam3).save_pretrained(tmp_path / "sam3")
    shutil.copy(tmp_path / "sam3/model.safetensors", folder)
    refused(folder)


def test_weights_of_another_input_size(folder: Path, tmp_path: Path) -> None:
    processor(size=64).save_pretrained(folder)
    refused(folder, "64 px", "takes 128")
    random(sam3).save_pretrained(tmp_path / "sam3")
    config = json.loads((tmp_path / "sam3/config.json").read_text())
    config["vision_config"]["backbone_config"]["pretrain_image_size"] = 112
    (tmp_path / "sam3/config.json").write_text(json.dumps(config))
    refused(tmp_path / "sam3", "do not fit its config.json")


def test_a_known_name_is_held_to_its_size_and_kind(folder: Path) -> None:
    with pytest.raises(InputError, match=r"million parameters, sam2.1-tiny 31.4"):
        load_sam("sam2.1-tiny", folder)
    with pytest.raises(InputError, match="leave --checkpoint out"):
        load_sam(str(folder), folder)
    with pytest.raises(InputError, match="no directory"):
        load_sam("sam2.1-tiny", folder / "model.safetensors")


def test_a_known_name_s_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = replace(SAMS["sam2.1-tiny"], parameters=0.6)
    monkeypatch.setitem(SAMS, "sam2.1-tiny", small)
    monkeypatch.setattr("goodsam.stages.sam.load.ALIKE", 1)
    assert load_sam("sam2.1-tiny", folder).name == "sam2.1-tiny"


def test_edgetam_from_a_directory(tmp_path: Path) -> None:
    pytest.importorskip("timm")
    model = random(edgetam)
    model.save_pretrained(tmp_path)
    sam, _ = load_folder(tmp_path)
    token = model.mask_decoder.iou_token.weight
    assert torch.equal(sam.mask_decoder.iou_token.weight, token)


class TestHub:
    """The hub itself cannot be reached here: its answers are put in its place."""

    @pytest.fixture
    def answer(self, monkeypatch: pytest.MonkeyPatch):
        asked: list[list[str]] = []

        def say(what: Exception | Path) -> list[list[str]]:
            def snapshot_download(name: str, allow_patterns: list[str], **_: object) -> str:
                asked.append(allow_patterns)
                if isinstance(what, Exception):
                    raise what
                return str(what)

            monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
            return asked

        yield say
        hub.hub_folder.cache_clear()

    def test_a_model_is_fetched_config_first(self, answer, folder: Path) -> None:
        asked = answer(folder)
        assert load_sam("someone/sam2").sha256 == load_folder(TRAINED)[1]
        assert asked[0] == ["config.json"]
        assert "*.safetensors" in asked[1]

    def test_the_weights_of_another_model_are_not_fetched(self, answer, folder: Path) -> None:
        edited(folder / "config.json", model_type="llama")
        asked = answer(folder)
        refused("someone/llama", "holds llama")
        assert asked == [["config.json"]]

    def test_a_gated_model_without_a_token(self, answer) -> None:
        answer(GatedRepoError("401", response=RESPONSE))
        with pytest.raises(InputError, match="facebook/sam3: gated; accept its terms") as error:
            load_sam("sam3")
        assert "hf auth login" in str(error.value)

    def test_a_name_that_is_nothing(self, answer) -> None:
        answer(RepositoryNotFoundError("404", response=RESPONSE))
        refused("someone/nothing", "neither a directory here nor a public model")

    def test_no_network(self, answer) -> None:
        answer(LocalEntryNotFoundError("nothing cached\nand more"))
        refused("someone/sam2", "could not be fetched from the hub (nothing cached)")


RESPONSE = SimpleNamespace(headers={}, request=None, status_code=401, text="", url="")


def test_a_factory_of_a_directory() -> None:
    factory = SamFactory(str(TRAINED), None, SAM2_GENERATOR)
    assert factory.sam == load_folder(TRAINED)[1]
    assert factory.provenance["sam"] == str(TRAINED)
    image = np.zeros((64, 80, 3), np.uint8)
    assert len(factory.build()([image])) == 1
